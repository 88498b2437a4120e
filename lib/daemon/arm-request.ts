/** What a minder is told when it is armed: the agent, its surroundings, and what the job may know of its testbed. */
import { agentEnvironment } from "../hosts/agent-environment.ts";
import { shieldedBmat } from "../hosts/agent-program.ts";
import type { Config, Testbed } from "../config/config.ts";
import { expandHomes } from "../config/home-paths.ts";
import { instanceName, type OwnInstance } from "../words/domain.ts";
import type { Host } from "../hosts/host.ts";
import type { ArmSpec } from "../hosts/minder/specification.ts";
import { factoryMark } from "./recover.ts";
import { limits } from "../policy/times-and-limits.ts";

export function armRequest(
  config: Config,
  host: Omit<Host, "minder" | "workDirectory">,
  instance: OwnInstance,
  testbed: Testbed,
): ArmSpec {
  const { agent, user } = host;
  const target = config.targets.find(({ id }) => id === instance.target)?.name ?? instance.target;
  const { place } = instance;
  const { directory } = place;
  const environment = agentEnvironment(config, host);
  return {
    instance: instanceName(instance),
    testbed: instance.testbed,
    cookie: instance.cookie,
    directory,
    agent: [...agent.argv, "run"],
    // Ours is told where its agent is: a job may have cleared its environment.
    bmat: agent.kind === "built-in" ? shieldedBmat(agent.bmat, `${directory}/opt`) : agent.bmat,
    isExternal: agent.kind === "external",
    openFiles: agent.kind === "external" && host.ssh === null ? limits.openFiles : null,
    environment: agent.kind === "built-in" ? { ...environment, ...privateScratch(directory) } : environment,
    ...host.cover,
    kept: [...host.cover.kept, ...filesFor(testbed, user.home, environment)],
    isolate: config.general.isolate,
    usesHost: place.way !== "sp-runner",
    isAgain: instance.phase === "running",
    isOutputWatched: instance.silenceTimeoutMs !== null,
    expirySeconds: limits.armedMs / 1000,
    logCapBytes: limits.logBytes,
    testbedJson: JSON.stringify({
      testbed: testbed.name,
      sp_type: testbed.spType,
      target,
      sp_runner: expandHomes(testbed.spRunnerPath, user.home),
      sp_runner_config: expandHomes(testbed.spRunnerConfig, user.home),
      baseline: testbed.baseline,
      ...(place.way !== "sp-runner"
        ? {}
        : {
            // As it was begun: a test that was submitted there goes on there.
            sp_runner_url: place.spRunnerUrl,
            // As this host names them, never by what a job sees: the service is outside of its namespace.
            input_dir: `${directory}/input`,
            output_dir: `${directory}/work`,
            test_type: testbed.testType,
            disable_watchdog: testbed.disableWatchdog,
          }),
    }),
    intentJson: JSON.stringify({ ...instance, factory: factoryMark(config) }),
  };
}

/**
 * Bun leaves the headers of its C compiler in its temporary directory, and reads where that is once, when it starts. Jobs do
 * not inherit the variable.
 */
function privateScratch(directory: string): Record<string, string> {
  return { BUN_TMPDIR: `${directory}/opt/run` };
}

/** What a job or its agent is given the path of. */
function filesFor(
  { spRunnerPath, spRunnerConfig }: Testbed,
  home: string,
  environment: Record<string, string>,
): string[] {
  const [program = ""] = spRunnerPath.trim().split(/\s+/);
  const certificates = ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR"].map(
    (name) => environment[name] ?? "",
  );
  return [expandHomes(program, home), expandHomes(spRunnerConfig, home), ...certificates].filter((path) =>
    path.startsWith("/"),
  );
}
