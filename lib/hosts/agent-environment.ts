/** The variables of a job agent, in addition to those that a minder gives every agent. Pure. */
import { posix } from "node:path";
import type { Config } from "../config/config.ts";
import type { Host } from "./host.ts";
import { Secret } from "../words/secret.ts";

/** Variables that decide how a server is reached: certificates and proxies. */
export const passedNames = [
  "NODE_EXTRA_CA_CERTS",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "ALL_PROXY",
  "NO_PROXY",
].flatMap((name) => [name, name.toLowerCase()]);

/** Names of the variables that the built-in agent passes to tasks, separated by spaces. */
export const taskNamesVariable = "BUILDOMAT_FACTORY_TASK_NAMES";

/** The PATH of tasks, after a directory of the agent's. The external agent has the same. */
export const usualTaskPath = "/usr/bin:/bin:/usr/sbin:/sbin:/opt/ooce/bin:/opt/ooce/sbin";

/** The part of this process's environment that agents on this host get. A value may be a secret. */
export function passedEnvironment({
  env,
  workingDirectory,
}: {
  env: Record<string, string | undefined>;
  workingDirectory: string;
}): Record<string, string> {
  const passed: Record<string, string> = {};
  for (const name of passedNames) {
    const value = env[name];
    // A value with a line break cannot be passed on, and no path or address has one.
    if (value === undefined || value === "" || /[\0\n]/.test(value)) continue;
    // The agent has another working directory. SSL_CERT_DIR may be several, as PATH is.
    const isFile = /^(?:NODE_EXTRA_CA_CERTS|SSL_CERT_FILE)$/i.test(name);
    passed[name] = isFile ? posix.resolve(workingDirectory, value) : value;
  }
  return passed;
}

/** Configured variables win over those that are passed on. */
export function agentEnvironment(
  { general }: Config,
  { path, user, environment }: Pick<Host, "path" | "user" | "environment">,
): Record<string, string> {
  const names = Object.keys(general.agentEnvironment).join(" ");
  return {
    PATH: path,
    USER: user.name,
    LOGNAME: user.name,
    ...environment,
    ...general.agentEnvironment,
    ...(names === "" ? {} : { [taskNamesVariable]: names }),
  };
}

/** User names and passwords in the addresses of proxies: logs must hide them. */
export function proxySecrets(...environments: Record<string, string>[]): Secret[] {
  return environments.flatMap((environment) =>
    Object.values(environment).flatMap((value) => {
      const [, account] = /\/\/([^\s/@]+@)/.exec(value) ?? [];
      return account === undefined ? [] : [new Secret(account)];
    }),
  );
}
