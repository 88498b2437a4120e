/**
 * A new executable is asked what it is, and whether it can do with this host's configuration and database, before anything is
 * started by it. Its exit code alone says nothing: a file that was cut short may be a plain Bun, which has a `--version` too.
 */
import { z } from "zod";
import type { Processes } from "../doors/processes.ts";
import { FactoryError } from "../words/failure.ts";
import { version as own, type Version } from "../words/version.ts";

const answerSchema = z.object({
  product: z.string(),
  version: z.string(),
  commit: z.string(),
  target: z.string(),
});
/** It reads the whole database, on a host that may have much to do. */
const longestMs = 120_000;
const mostBytes = 65_536;

/** What the new version prints. */
export const selfTestAnswer = (): string => JSON.stringify(own);

export interface SelfTest {
  executable: string;
  /** Behind the verb: where the configuration and the database are. */
  args: string[];
  /** All that it is given: nothing of a shell or a job. */
  env: Record<string, string>;
  expected: Omit<Version, "product">;
  processes: Pick<Processes, "run">;
  signal: AbortSignal;
}

/** Null: it is what it should be. `isItsFault`: not this host's, so that it need not be tried again. */
export async function runSelfTest({
  executable,
  args,
  env,
  expected,
  processes,
  signal,
}: SelfTest): Promise<{ error: FactoryError; isItsFault: boolean } | null> {
  const argv = [executable, "self-test", "--json", ...args];
  const ran = await processes.run({ argv, env, cwd: "/", timeoutMs: longestMs, maxBytes: mostBytes, signal });
  signal.throwIfAborted();
  const fail = (
    why: string,
    hint: string,
    isItsFault = true,
  ): { error: FactoryError; isItsFault: boolean } => ({
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
  // What is not caught is shown behind the lines of the source around it.
  const said = (lines.find((line) => /^(?:\w*Error|error): /.test(line)) ?? lines[0] ?? "").slice(0, 500);
  if (ran.exitCode === 127) return fail(`it does not start: ${said}`, libraries);
  return fail(
    `its self-test ended with ${ran.exitCode}${said === "" ? "" : `: ${said}`}`,
    "The version that runs goes on",
  );
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
