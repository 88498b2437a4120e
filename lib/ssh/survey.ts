/**
 * What a host behind ssh is and has, learnt in one call: who we are there, where instance directories go, which machine it is,
 * and whether an agent is there.
 */
import type { Random } from "../doors/random.ts";
import { newMark } from "../minder/marks.ts";
import { ask } from "./ask.ts";
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
  /** Random, kept in the work directory: the same address with another id is another machine. Empty: none was given yet. */
  machine: string;
  /** The agent that was asked for; else one on the PATH; null: it is not there, or cannot be run. */
  agent: string | null;
}

export interface SurveyRequest {
  /** May begin with `~/`. */
  workDirectory: string;
  /** May begin with `~/`; null: `buildomat-agent` on the PATH there. */
  agentPath: string | null;
  /** Nothing is made there: a work directory that is not there yet has no machine's name in it. */
  isLook: boolean;
}

/** Words: work directory, agent or nothing, a new machine id or nothing. */
const script = `
work=$1 agent=$2 id=$3
umask 077
case $work in "~/"*) work=$HOME/\${work#??} ;; esac
case $agent in "~/"*) agent=$HOME/\${agent#??} ;; esac
[ -z "$id" ] || mkdir -p "$work" 2>/dev/null
if [ -L "$work" ] || { [ ! -d "$work" ] && { [ -n "$id" ] || [ -e "$work" ]; }; }; then
  echo "the work directory $work cannot be made there, or is a link" >&2
  exit 1
fi
[ ! -d "$work" ] || work=$(cd "$work" && pwd) || exit 1
if [ -n "$id" ] && [ ! -s "$work/testbed-id" ]; then
  # Several testbeds of one host are surveyed at once: the first link is the one that stays.
  draft=$work/testbed-id.$$
  # An empty one is what a power cut left.
  [ -s "$work/testbed-id" ] || rm -f "$work/testbed-id"
  echo "$id" >"$draft" && sync && ln "$draft" "$work/testbed-id" 2>/dev/null && sync
  rm -f "$draft"
  [ -s "$work/testbed-id" ] || { echo "$work/testbed-id cannot be written there" >&2; exit 1; }
fi
[ -n "$agent" ] || agent=$(command -v buildomat-agent)
[ -f "$agent" ] && [ -x "$agent" ] || agent=
printf '%s %s\\n' system "$(uname -s)" cpu "$(uname -m)" user "$(id -un)" uid "$(id -u)" home "$HOME" path "$PATH" work "$work" machine "$(cat "$work/testbed-id" 2>/dev/null)" agent "$agent"`;

export async function surveyHost(
  connection: Connection,
  { workDirectory, agentPath, isLook }: SurveyRequest,
  random: Random,
): Promise<({ ok: true } & Survey) | { ok: false; reason: string }> {
  const words = [workDirectory, agentPath ?? "", isLook ? "" : newMark(random)];
  const reply = await ask(connection, random, { script, words });
  if (!reply.ok) return reply;
  const said = new Map(
    reply.lines.map((line) => [line.split(" ", 1)[0], line.slice(line.indexOf(" ") + 1)] as const),
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
