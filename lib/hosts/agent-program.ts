/** Which job agent is run: the one that is configured, else one beside the executable, else the one built in. */
import { dirname } from "node:path";
import type { Config } from "../config/config.ts";

export interface AgentProgram {
  kind: "external" | "built-in";
  /** Started with the further word `run`. The program is an absolute path. */
  argv: string[];
  /** The in-job control program. */
  bmat: string[];
}

export interface ProgramSource {
  /** How this program is started again. */
  self: string[];
  /** Path of the running executable. */
  executable: string;
  exists(path: string): boolean;
}

/** A configured agent that is missing is an error of the instance's preflight, never a silent change. */
export function chooseAgent({ general }: Config, { self, executable, exists }: ProgramSource): AgentProgram {
  const beside = `${dirname(executable)}/buildomat-agent`;
  const path = general.agent ?? (exists(beside) ? beside : "builtin");
  if (path !== "builtin") return { kind: "external", argv: [path], bmat: [path] };
  return { kind: "built-in", argv: [...self, "agent"], bmat: [...self, "bmat"] };
}

/** Before a variable's name: a job has set it, for a Bun of its own. */
export const keptPrefix = "BMAT_KEPT_";

/** Our executable is a Bun too, and would obey them; `bmat process` gives them back. */
const bunVariables = ["BUN_BE_BUN", "BUN_OPTIONS", "BUN_CONFIG_VERBOSE_FETCH"];
const shield = bunVariables
  .map((name) => `[ -z "\${${name}+x}" ] || export ${keptPrefix}${name}="$${name}"; unset ${name}; `)
  .join("");

/** What `bin/bmat` runs, whatever a job's environment says to Bun. `directory` is the agent's. */
export function shieldedBmat(bmat: string[], directory: string): string[] {
  return ["/bin/sh", "-c", `${shield}exec "$@"`, "bmat", ...bmat, "--base", directory];
}
