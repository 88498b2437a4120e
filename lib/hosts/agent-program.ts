/** Chooses the job agent: the configured one, else one beside the executable, else the built-in one. */
import { dirname } from "node:path";
import type { Config } from "../config/config.ts";

export interface AgentProgram {
  kind: "external" | "built-in";
  /** The command, without its last word `run`. The program is an absolute path. */
  argv: string[];
  /** The in-job control program. */
  bmat: string[];
}

export interface ProgramSource {
  /** The command that starts this program again. */
  self: string[];
  /** Path of the running executable. */
  executable: string;
  exists(path: string): boolean;
}

/** A missing configured agent is an error of the instance's preflight; no other agent is used instead. */
export function chooseAgent({ general }: Config, { self, executable, exists }: ProgramSource): AgentProgram {
  const beside = `${dirname(executable)}/buildomat-agent`;
  const path = general.agent ?? (exists(beside) ? beside : "builtin");
  if (path !== "builtin") return { kind: "external", argv: [path], bmat: [path] };
  return { kind: "built-in", argv: [...self, "agent"], bmat: [...self, "bmat"] };
}

/** The prefix of a variable that a job has set for its own Bun. */
export const keptPrefix = "BMAT_KEPT_";

/** Our executable is also a Bun and would obey these variables; `bmat process` restores them. */
const bunVariables = ["BUN_BE_BUN", "BUN_OPTIONS", "BUN_CONFIG_VERBOSE_FETCH"];
const shield = bunVariables
  .map((name) => `[ -z "\${${name}+x}" ] || export ${keptPrefix}${name}="$${name}"; unset ${name}; `)
  .join("");

/** The command of `bin/bmat`, unaffected by Bun's variables in a job's environment. `directory` is the agent's. */
export function shieldedBmat(bmat: string[], directory: string): string[] {
  return ["/bin/sh", "-c", `${shield}exec "$@"`, "bmat", ...bmat, "--base", directory];
}
