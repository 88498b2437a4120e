/** The `check` verb: examines everything that jobs need here, reports what it found, and changes nothing. */
import { passedEnvironment, proxySecrets } from "../../hosts/agent-environment.ts";
import { type Base, type BaseArgs, findBase, placesOf, readConfig } from "../../config/locations.ts";
import type { Config } from "../../config/config.ts";
import { inspectFarHost, openHostMinder, type Program } from "../../hosts/wiring.ts";
import { programOf, type ThisProcess } from "../this-process.ts";
import { whileWaiting } from "../waiting-line.ts";
import { type Finding, findingsJson, isGood, showFindings } from "./finding.ts";
import { gather, type Ground } from "./gather.ts";
import { judge, judgeUnreadable } from "./judge.ts";
import { reachService } from "./reach-service.ts";

export interface CheckOptions extends Ground {
  base: Base;
  isJson: boolean;
  print(text: string): void;
}

/** The verb, on this host. */
export async function checkHost(here: ThisProcess, args: BaseArgs & { json?: boolean }): Promise<number> {
  const program = await programOf(here);
  const base = findBase(args, program.surroundings);
  const options = { ...here, ...groundOf(here, program, base), base, isJson: args.json === true };
  return report(options, await whileWaiting(here, "asking the server, hosts and testbeds", check(options)));
}

/** Tries one testbed of a configuration that is not written yet. `text`: all errors, and what was found of the testbed itself. */
export async function tryTestbed(
  here: ThisProcess,
  { config, base, name }: { config: Config; base: Base; name: string },
): Promise<{ text: string; isGood: boolean }> {
  const only = { ...config, testbeds: config.testbeds.filter((testbed) => testbed.name === name) };
  const ground = groundOf(here, await programOf(here), base);
  const facts = await whileWaiting(here, `trying ${name}`, gather(only, base, ground));
  const findings = judge(facts).filter(
    ({ severity, subject }) => severity === "error" || subject === `testbed.${name}`,
  );
  return { text: withoutSecrets(showFindings(findings), config, ground), isGood: isGood(findings) };
}

function groundOf(here: ThisProcess, program: Program, base: Base): Ground {
  const { surroundings } = program;
  const { http } = here;
  return {
    ...here,
    surroundings,
    source: program,
    openMinder: (config, { directory, lockDirectory }) =>
      openHostMinder(config, { workDirectory: directory, lockDirectory }, program),
    reach: async (config, testbed, scratch) => {
      const { name, spRunnerUrl: baseurl } = testbed;
      if (baseurl !== null) return await reachService({ http, baseurl }, name);
      const places = placesOf(config, base, surroundings.env);
      return await inspectFarHost(config, testbed, { ...places, scratch }, program);
    },
  };
}

/** Resolves with the exit code: 1 if some or all jobs would not run. */
export async function runCheck(options: CheckOptions): Promise<number> {
  return report(options, await check(options));
}

function report(options: CheckOptions, { findings, config }: Awaited<ReturnType<typeof check>>): number {
  const text = options.isJson ? findingsJson(findings) : showFindings(findings);
  options.print(config === null ? text : withoutSecrets(text, config, options));
  return isGood(findings) ? 0 : 1;
}

/** A server or program may echo a secret that it was sent. */
function withoutSecrets(text: string, { token, general }: Config, { surroundings }: Ground): string {
  const secrets = [token, ...proxySecrets(passedEnvironment(surroundings), general.agentEnvironment)];
  return secrets.reduce((shown, secret) => shown.replaceAll(secret.reveal(), "***"), text);
}

async function check(options: CheckOptions): Promise<{ findings: Finding[]; config: Config | null }> {
  let config: Config;
  try {
    config = readConfig(options.base, options.surroundings);
  } catch (error) {
    return { findings: judgeUnreadable(error, options.base.config), config: null };
  }
  return { findings: judge(await gather(config, options.base, options)), config };
}
