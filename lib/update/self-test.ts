/**
 * Asks a new executable what it is and whether it can use this host's configuration and database, before anything is started with
 * it. Its exit code alone proves nothing: a file that was cut short may be a plain Bun, which has a `--version` too.
 */
import { z } from "zod";
import type { Processes, RunResult } from "../doors/processes.ts";
import { FactoryError } from "../words/failure.ts";
import { version as own, type Version } from "../words/version.ts";

const answerSchema = z.object({
  product: z.string(),
  version: z.string(),
  commit: z.string(),
  target: z.string(),
});
/** It reads the whole database, on a host that may be busy. */
const longestMs = 120_000;
const mostBytes = 65_536;

/** What the new version prints. */
export const selfTestAnswer = (): string => JSON.stringify(own);

export interface SelfTest {
  executable: string;
  /** The flags that say where the configuration and the database are. */
  args: string[];
  /** Its whole environment: nothing of a shell or a job. */
  env: Record<string, string>;
  processes: Pick<Processes, "run">;
  signal: AbortSignal;
}

/** `isItsFault`: not a fault of this host, so that the version need not be tried again. */
export interface FailedSelfTest {
  error: FactoryError;
  isItsFault: boolean;
}

/** Null: it passed, and is what is expected. */
export async function runSelfTest(
  test: SelfTest,
  expected: Omit<Version, "product">,
): Promise<FailedSelfTest | null> {
  const ran = await askItself(test);
  test.signal.throwIfAborted();
  const fail = (why: string, hint: string, isItsFault = true): FailedSelfTest => ({
    error: new FactoryError(`Cannot use ${expected.version}: ${why}`, { hint }),
    isItsFault,
  });
  if (!ran.ok) {
    const [why, hint, isItsFault] = startFaults[ran.code ?? ""] ?? [ran.reason, "It is not started", true];
    return fail(why, hint, isItsFault);
  }
  const answer = answerSchema.safeParse(parse(ran.stdout));
  if (answer.success && ran.exitCode === 0) {
    const { product, version, commit, target } = answer.data;
    const isRight =
      product === own.product &&
      version === expected.version &&
      commit === expected.commit &&
      target === expected.target;
    if (isRight) return null;
    return fail(`it is ${product} ${version} (${commit}, ${target})`, "The release was put together wrongly");
  }
  const lines = ran.stderr.trim().split("\n");
  // Bun shows an uncaught error after the source lines around it.
  const thrown = lines.find((line) => /^(?:\w*Error|error): /.test(line));
  if (ran.exitCode === 127) return fail(`it does not start: ${lines[0]?.slice(0, 500)}`, libraries);
  // Of a configuration, the second line is its first problem.
  const firstTwo = lines.slice(0, 2).map((line) => line.trim());
  const said = (thrown ?? firstTwo.join("; ")).slice(0, 500);
  const why = `its self-test ended with ${ran.exitCode}${said === "" ? "" : `: ${said}`}`;
  return fail(why, "The running version goes on");
}

/** Whether the version that runs passes its own self-test, so that the fault of a new one is not this host's. */
export async function isHostSound(test: SelfTest): Promise<boolean> {
  const ran = await askItself(test);
  return ran.ok && ran.exitCode === 0;
}

async function askItself({ executable, args, env, processes, signal }: SelfTest): Promise<RunResult> {
  const argv = [executable, "self-test", "--json", ...args];
  return await processes.run({ argv, env, cwd: "/", timeoutMs: longestMs, maxBytes: mostBytes, signal });
}

const libraries =
  "On a system with musl it needs libstdc++ and libgcc (apk add libstdc++ libgcc); else its target has the wrong libc";

const startFaults: Record<string, [why: string, hint: string, isItsFault: boolean]> = {
  ENOEXEC: [
    "this system cannot run it: it is for another CPU, or not whole",
    "uname -m shows this host's CPU",
    true,
  ],
  ENOENT: ["this system lacks what loads it: it is for another libc", libraries, true],
  EACCES: [
    "this system may not start files there",
    "Is it mounted with noexec? `mount` shows it; --prefix installs elsewhere",
    false,
  ],
};

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
