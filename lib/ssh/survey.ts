/**
 * What a host behind ssh is and has, learnt in one call: who we are there, where instance directories go, which machine it is,
 * and whether an agent is there.
 */
import type { RunResult } from "../doors/processes.ts";
import type { Random } from "../doors/random.ts";
import type { Connection } from "./connection.ts";

export interface Survey {
  /** As uname says: "Linux", "SunOS", and "x86_64", "aarch64", "i86pc". */
  system: string;
  cpu: string;
  user: string;
  uid: number;
  home: string;
  /** What the agent gets as PATH: the login's own. */
  path: string;
  workDirectory: string;
  /** Random, kept in the work directory: the same address with another id is another machine. */
  machine: string;
  /** The agent that was asked for; else one on the PATH; null: it is not there, or cannot be run. */
  agent: string | null;
}

export interface SurveyRequest {
  /** May begin with `~/`. */
  workDirectory: string;
  /** May begin with `~/`; null: `buildomat-agent` on the PATH there. */
  agentPath: string | null;
}

/** Words: mark, work directory, agent or nothing, a new machine id. */
const surveyScript = `
mark=$1 work=$2 agent=$3 id=$4
umask 077
case $work in "~/"*) work=$HOME/\${work#??} ;; esac
case $agent in "~/"*) agent=$HOME/\${agent#??} ;; esac
mkdir -p "$work" 2>/dev/null
[ -d "$work" ] && [ ! -L "$work" ] || { echo "the work directory $work cannot be made there" >&2; exit 1; }
work=$(cd "$work" && pwd) || exit 1
if [ ! -s "$work/testbed-id" ]; then
  echo "$id" >"$work/testbed-id.$$" && mv "$work/testbed-id.$$" "$work/testbed-id" || exit 1
fi
[ -n "$agent" ] || agent=$(command -v buildomat-agent)
[ -f "$agent" ] && [ -x "$agent" ] || agent=
printf '%s\\n' "$mark begin"
printf '%s %s\\n' system "$(uname -s)" cpu "$(uname -m)" user "$(id -un)" uid "$(id -u)" home "$HOME" path "$PATH" work "$work" machine "$(cat "$work/testbed-id")" agent "$agent"
printf '%s\\n' "$mark end"`;

export async function surveyHost(
  { run }: Connection,
  { workDirectory, agentPath }: SurveyRequest,
  random: Random,
): Promise<({ ok: true } & Survey) | { ok: false; reason: string }> {
  const mark = hex(random);
  const words = [mark, workDirectory, agentPath ?? "", hex(random)];
  const result = await run(["sh", "-c", surveyScript, "sh", ...words], "", 30_000);
  return result.ok ? readSurvey(result, mark) : result;
}

/** Login files may print anything: what counts stands between the marks. */
function readSurvey(
  { stdout, stderr }: RunResult & { ok: true },
  mark: string,
): ({ ok: true } & Survey) | { ok: false; reason: string } {
  const begin = stdout.lastIndexOf(`${mark} begin\n`);
  const end = stdout.lastIndexOf(`${mark} end`);
  if (begin === -1 || end === -1) {
    return {
      ok: false,
      reason: (stderr.trim().split("\n").at(-1) ?? "").slice(0, 300) || "it gave no answer",
    };
  }
  const lines = stdout.slice(begin, end).split("\n").slice(1, -1);
  const said = new Map(
    lines.map((line) => [line.split(" ", 1)[0], line.slice(line.indexOf(" ") + 1)] as const),
  );
  const word = (name: string): string => said.get(name) ?? "";
  return {
    ok: true,
    system: word("system"),
    cpu: word("cpu"),
    user: word("user"),
    uid: Number(word("uid")),
    home: word("home"),
    path: word("path"),
    workDirectory: word("work"),
    machine: word("machine"),
    agent: word("agent") === "" ? null : word("agent"),
  };
}

function hex(random: Random): string {
  return Buffer.from(random.bytes(12)).toString("hex");
}
