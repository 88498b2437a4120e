/** What job agents find in their environment, besides what a minder gives every agent. Pure. */
import { posix } from "node:path";
import type { Config } from "../config/config.ts";
import type { Host } from "./host.ts";
import { Secret } from "../words/secret.ts";

/** How a server is reached: which certificates count, and through which proxy. */
export const passedNames = [
  "NODE_EXTRA_CA_CERTS",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "ALL_PROXY",
  "NO_PROXY",
].flatMap((name) => [name, name.toLowerCase()]);

/** Names of variables, separated by spaces: those that the built-in agent hands on to tasks. */
export const taskNamesVariable = "BUILDOMAT_FACTORY_TASK_NAMES";

/** What agents on this host get of this process's environment. A value may be a secret. */
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
    // A line break cannot be handed on, and is part of no path or address.
    if (value === undefined || value === "" || /[\0\n]/.test(value)) continue;
    // The agent has another working directory. SSL_CERT_DIR may be several, as PATH is.
    const isFile = /^(?:NODE_EXTRA_CA_CERTS|SSL_CERT_FILE)$/i.test(name);
    passed[name] = isFile ? posix.resolve(workingDirectory, value) : value;
  }
  return passed;
}

/** What is configured wins over what is passed on. */
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

/** User and password in the addresses of proxies, as no log may show them. */
export function proxySecrets(...environments: Record<string, string>[]): Secret[] {
  return environments.flatMap((environment) =>
    Object.values(environment).flatMap((value) => {
      const [, account] = /\/\/([^\s/@]+@)/.exec(value) ?? [];
      return account === undefined ? [] : [new Secret(account)];
    }),
  );
}
