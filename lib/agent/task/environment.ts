/**
 * What a task's script finds in its environment (lib/agent/README.md "A task"). Pure; made from nothing, so that no
 * secret is inherited.
 */
import { z } from "zod";
import { taskNamesVariable, usualTaskPath } from "../../hosts/agent-environment.ts";
import type { Task } from "../../server/worker-side.ts";

export interface TaskSurroundings {
  /** The agent's own. */
  env: Record<string, string | undefined>;
  /** The agent's directory: `bin/bmat` is put on the PATH, and finds the agent's socket by it. */
  base: string;
  /** Text of `$HOME/testbed.json`, null if there is none. */
  testbed: string | null;
  /** Whether programs on this host know the locale. */
  hasLocale(name: string): boolean;
}

/** A task's variables, and the keys of `testbed.json` that they come from. */
const testbedNames = {
  SP_TESTBED: "testbed",
  SP_TYPE: "sp_type",
  SP_TARGET: "target",
  SP_RUNNER: "sp_runner",
  SP_RUNNER_CONFIG: "sp_runner_config",
  SP_BASELINE: "baseline",
};

/** Only the value "1" turns root mode off. In root mode processes run as the user that their task names. */
export function isRootMode(env: TaskSurroundings["env"]): boolean {
  return env["BUILDOMAT_NONROOT"] !== "1";
}

/** The task's own variables override any other. With `env_clear` there are no others. */
export function taskEnvironment(
  task: Task,
  jobId: string,
  { env, base, testbed, hasLocale }: TaskSurroundings,
): Record<string, string> {
  if (task.env_clear) return { ...task.env };
  const { PATH: path = usualTaskPath, ...given } = givenVariables(env);
  // The real agent's; without it bash begins each task with a warning.
  const locale = hasLocale("en_US.UTF-8") ? "en_US.UTF-8" : "C.UTF-8";
  const isRoot = isRootMode(env);
  const user = isRoot ? "root" : (env["USER"] ?? "nobody");
  return {
    // In root mode too: /root is the host's, and the jobs of other testbeds have it as well. testbed.json is here.
    HOME: env["HOME"] ?? (isRoot ? "/root" : "/tmp"),
    // Root also for a task of another user, as the real agent has it.
    USER: user,
    LOGNAME: user,
    TZ: "UTC",
    PATH: `${base}/bin:${path}`,
    LANG: locale,
    LC_ALL: locale,
    // Where the agent's own files are: a script may call `$BUILDOMAT_OPT/bin/bmat`.
    BUILDOMAT_OPT: base,
    BUILDOMAT_NONROOT: "1",
    ...testbedVariables(testbed),
    ...given,
    BUILDOMAT_JOB_ID: jobId,
    BUILDOMAT_TASK_ID: String(task.id),
    ...task.env,
  };
}

/** What the lab configured for tasks too (general.agent_environment). */
function givenVariables(env: TaskSurroundings["env"]): Record<string, string> {
  const names = (env[taskNamesVariable] ?? "").split(" ");
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = env[name];
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
}

/** None from a file that is damaged, or of another form. */
function testbedVariables(text: string | null): Record<string, string> {
  const testbed = readJson(text);
  const entries = Object.entries(testbedNames).map(([name, key]) => [name, testbed[key]] as const);
  if (entries.some(([, value]) => value !== undefined && typeof value !== "string")) return {};
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== undefined));
}

function readJson(text: string | null): Record<string, unknown> {
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(text ?? ""));
  } catch {
    return {};
  }
}
