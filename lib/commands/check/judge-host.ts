/** What this host has for jobs: programs, isolation, elevation, the agent, sp-runner. Pure. */
import { usesThisHost } from "../../policy/free-testbeds.ts";
import type { Facts } from "./facts.ts";
import { error, type Finding, ok, warning } from "./finding.ts";

export function judgePrograms({ missingPrograms }: Facts): Finding[] {
  if (!missingPrograms.ok)
    return [warning("programs", `cannot be searched for: ${missingPrograms.reason}`, null)];
  const { ofJobs, ofIsolation } = missingPrograms.value;
  return [
    ...(ofJobs.length === 0
      ? [ok("programs", "bash is installed")]
      : [
          error(
            "programs",
            `there is no ${ofJobs.join(", ")} on the PATH: jobs are bash scripts`,
            "Install it",
          ),
        ]),
    ...(ofIsolation.length === 0
      ? []
      : [
          warning(
            "programs",
            `there is no ${ofIsolation.join(", ")}: isolation needs it`,
            "Install util-linux",
          ),
        ]),
  ];
}

/** Why agents cannot run as root though the configuration asks for it; null: they can, or need not. */
export function elevationTrouble({ config, uid, probe }: Facts): string | null {
  if (!config.general.elevate || uid === 0) return null;
  if (!probe.ok) return probe.reason;
  return probe.value.ok ? probe.value.unusable : probe.value.reason;
}

export function judgeElevation(facts: Facts): Finding[] {
  const subject = "elevation";
  if (!facts.config.general.elevate) return [];
  const trouble = elevationTrouble(facts);
  if (trouble === null) return [ok(subject, "agents can be run as root")];
  return [error(subject, `agents must run as root, but cannot: ${trouble}`, null)];
}

export function judgeIsolation(facts: Facts): Finding[] {
  const { config, probe } = facts;
  const subject = "isolation";
  if (elevationTrouble(facts) !== null) return [];
  if (!probe.ok) return [warning(subject, `cannot be tried: ${probe.reason}`, null)];
  if (!probe.value.ok) return [warning(subject, `cannot be tried: ${probe.value.reason}`, null)];
  const { isolation, unshared } = probe.value;
  const isOff = config.general.isolate === "off";
  if (!isOff && isolation.kind === "possible") {
    return [ok(subject, "each job gets its own /work and /input")];
  }
  const why =
    isolation.kind === "refused" && !isOff ? `namespaces are refused (${isolation.reason})` : "it is off";
  const allow = "Allow unprivileged user namespaces, or run as root";
  if (unshared !== null && config.testbeds.some(usesThisHost)) {
    const hint = `Do that, or ${isOff ? 'set general.isolate = "auto"' : "allow unprivileged user namespaces, or run as root"}`;
    return [error(subject, `${why}, and ${unshared}`, hint)];
  }
  const message = `${why}: one job at a time on this host, with the host's own /work and /input`;
  return [isOff ? ok(subject, message) : warning(subject, message, allow)];
}

export function judgeAgent({ agent, probe }: Facts): Finding[] {
  const subject = "agent";
  if (!agent.ok) return [error(subject, `cannot be read: ${agent.reason}`, null)];
  const { program, place, run } = agent.value;
  const { path } = place;
  const hint =
    'Install it, or correct general.agent (or BUILDOMAT_AGENT_PATH); "builtin" is the built-in agent';
  if (place.kind === "missing") return [error(subject, `${path} is not there`, hint)];
  if (place.kind !== "file") return [error(subject, `${path} is not a file`, hint)];
  if (!place.isExecutable) {
    return [error(subject, `${path} is not executable by this user`, `chmod +x ${path}`)];
  }
  const name = program.kind === "built-in" ? "the built-in agent" : path;
  const another = "Install the agent for this system and CPU, with the libraries that it needs";
  if (run === null || !run.ok) {
    return [error(subject, `${name} cannot be run: ${run === null ? "not tried" : run.reason}`, another)];
  }
  // 126 and 127 come from a shell or loader, and more than 128 from a signal.
  if (run.exitCode >= 126) {
    const said = firstLine(run.stderr) || "it printed nothing";
    return [error(subject, `${name} cannot be run: exit code ${run.exitCode}: ${said}`, another)];
  }
  const [fault = null] = probe.ok && probe.value.ok ? probe.value.agentFaults : [];
  if (fault !== null) return [error(subject, fault, null)];
  return [ok(subject, `${name} runs`)];
}

export function judgeAgentServer({ config, ping, agentServer }: Facts): Finding[] {
  const subject = "agent";
  // A server that does not answer at all is reported once.
  if (!ping.ok || !ping.value.reply.ok) return [];
  if (agentServer.ok && agentServer.value === null) return [];
  const run = agentServer.ok ? agentServer.value : agentServer;
  if (run === null || !run.ok) {
    return [ok(subject, `not tried whether agents here reach the server: ${run === null ? "" : run.reason}`)];
  }
  const { baseurl } = config.general;
  if (run.exitCode === 0)
    return [ok(subject, `reaches ${baseurl} with the environment that agents get here`)];
  const said = run.stderr.trim().split("\n").join("; ").slice(0, 500);
  const hint =
    "Agents get CA and proxy variables from the factory's environment and from general.agent_environment, which takes precedence";
  return [
    error(subject, `does not reach ${baseurl} with the environment that agents get here: ${said}`, hint),
  ];
}

export function judgeRunners({ runners }: Facts): Finding[] {
  const subject = "sp-runner";
  if (!runners.ok) return [warning(subject, `cannot be searched for: ${runners.reason}`, null)];
  const needless = "jobs that bring their own do not need it";
  const programs = runners.value.programs.map(({ text, place, testbeds }) => {
    const whose = `for ${testbeds.join(", ")}`;
    const hint = `Install it or correct sp_runner_path; ${needless}`;
    if (place === null && !/^\s*\S*\//.test(text)) {
      const { searchPath } = runners.value;
      const absolute = `Write its absolute path into sp_runner_path; ${needless}`;
      return warning(subject, `${text} ${whose} is not on the PATH of jobs (${searchPath})`, absolute);
    }
    if (place === null) return warning(subject, `${text} ${whose} is missing`, hint);
    if (place.kind === "file" && place.isExecutable) return ok(subject, `${place.path} ${whose}`);
    return warning(subject, `${place.path} ${whose} is not a program that this user can run`, hint);
  });
  const configurations = runners.value.configurations.map(({ text, place, testbeds }) => {
    const what = `configuration ${place?.path ?? text} for ${testbeds.join(", ")}`;
    if (place?.kind === "file" && place.isReadable) return ok(subject, what);
    const fault = place?.kind === "missing" ? "is missing" : "cannot be read by this user";
    return warning(subject, `${what} ${fault}`, `Write it or correct sp_runner_config; ${needless}`);
  });
  return [...programs, ...configurations];
}

function firstLine(text: string): string {
  return (text.trim().split("\n")[0] ?? "").slice(0, 300);
}
