/**
 * Finds out in one call what a host behind ssh is and has: which user we are there, where instance directories go, which
 * machine it is, and whether there is an agent.
 */
import { expandHome } from "../../config/home-paths.ts";
import type { Random } from "../../doors/random.ts";
import { newMark } from "../minder/marks.ts";
import type { SeenDirectory } from "../work-directory.ts";
import { ask } from "./ask.ts";
import type { Connection } from "./connection.ts";

export interface Survey {
  /** In uname's words: "Linux", "SunOS", and "x86_64", "aarch64", "i86pc". */
  system: string;
  cpu: string;
  user: string;
  uid: number;
  home: string;
  /** The login's PATH, which the agent gets too. */
  path: string;
  workDirectory: string;
  /** A random id in the work directory: the same address with another id is another machine. Null: it has no id yet. */
  machine: string | null;
  /** The requested agent, else one on the PATH; null: it is not there or cannot be run. */
  agent: string | null;
  /** The agent is from buildomat's main line; false if that was not checked. */
  isMainLine: boolean;
  /** The state of the work directory and its free space; null: not checked, or not known. */
  place: SeenDirectory | null;
  freeBytes: number | null;
  /** Jobs are bash scripts, so bash is needed. */
  hasBash: boolean;
}

export interface SurveyRequest {
  /** May begin with `~/`. */
  workDirectory: string;
  /** May begin with `~/`; null: `buildomat-agent` on the PATH there. */
  agentPath: string | null;
  /** Do not create anything there: a work directory that does not exist yet then has no machine id. */
  isLook: boolean;
}

/** Words: work directory, agent or nothing, a new machine id or nothing. */
const script = `
work=$1 agent=$2 id=$3
umask 077
case $work in "~" | "~/"*) work=$HOME\${work#?} ;; esac
case $agent in "~/"*) agent=$HOME\${agent#?} ;; esac
[ -z "$id" ] || mkdir -p "$work" 2>/dev/null
if [ -L "$work" ] || { [ ! -d "$work" ] && { [ -n "$id" ] || [ -e "$work" ]; }; }; then
  echo "the work directory $work cannot be created there, or is a link" >&2
  exit 1
fi
there=
# We may not be able to enter another user's directory; ls shows its owner.
[ ! -d "$work" ] || there=$(cd "$work" && pwd) || [ -z "$id" ] || exit 1
work=\${there:-$work}
if [ -n "$id" ] && [ ! -s "$work/testbed-id" ]; then
  # Several testbeds of one host are surveyed at once: the first link wins.
  draft=$work/testbed-id.$$
  # A power cut can leave an empty file. A file that another survey links just now must not be removed.
  if [ -e "$work/testbed-id" ] && [ ! -s "$work/testbed-id" ]; then rm -f "$work/testbed-id"; fi
  echo "$id" >"$draft" && sync && ln "$draft" "$work/testbed-id" 2>/dev/null && sync
  rm -f "$draft"
  [ -s "$work/testbed-id" ] || { echo "$work/testbed-id cannot be written there; its file system may be full or read-only" >&2; exit 1; }
fi
has_bash=no
[ ! -x /bin/bash ] || has_bash=yes
is_writable=no near=$work listed= disk=
if [ -z "$id" ]; then
  # The existing part of the path, in which the rest would be created.
  while [ ! -e "$near" ] && [ "$near" != "\${near%/*}" ]; do near=\${near%/*}; done
  near=\${near:-/}
  [ ! -d "$near" ] || [ ! -w "$near" ] || [ ! -x "$near" ] || is_writable=yes
  listed=missing
  [ ! -d "$work" ] || listed=$(ls -ldn "$work" 2>/dev/null)
  disk=$(df -Pk "$near" 2>/dev/null | sed -n 2p)
fi
[ -n "$agent" ] || agent=$(command -v buildomat-agent)
[ -f "$agent" ] && [ -x "$agent" ] || agent=
main_line=no
if [ -z "$id" ] && [ -n "$agent" ] && [ -r "$agent" ]; then
  # The same test as is_main_line of the minder.
  case $(od -An -v -tx1 -N4 "$agent") in *'7f 45 4c 46'*)
    LC_ALL=C grep -qaF BUILDOMAT_OPT "$agent" 2>/dev/null
    [ "$?" != 1 ] || main_line=yes
  esac
fi
printf '%s %s\\n' system "$(uname -s)" cpu "$(uname -m)" user "$(id -un)" uid "$(id -u)" home "$HOME" path "$PATH" work "$work" machine "$(cat "$work/testbed-id" 2>/dev/null)" agent "$agent" main-line $main_line writable $is_writable bash $has_bash listed "$listed" disk "$disk"`;

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
  // Normalized like the answer of pwd, also if the directory does not exist yet.
  const where = expandHome(word("work"), word("home"));
  return {
    ok: true,
    system: word("system"),
    cpu: word("cpu"),
    user: word("user"),
    uid: Number(word("uid")),
    home: word("home"),
    path: word("path"),
    workDirectory: where,
    machine: word("machine") || null,
    agent: word("agent") === "" ? null : word("agent"),
    isMainLine: word("main-line") === "yes",
    place: placeOf(where, word("listed"), word("writable") === "yes"),
    freeBytes: freeBytesOf(word("disk")),
    hasBash: word("bash") === "yes",
  };
}

/** `listed` is a line of ls, `missing` or empty. */
function placeOf(path: string, listed: string, isWritable: boolean): SeenDirectory | null {
  if (listed === "missing") return { path, kind: "missing", mode: 0, uid: 0, isWritable };
  const [, letters = "", owner] = /^d(\S{9})\S* +\d+ +(\d+) /.exec(listed) ?? [];
  if (owner === undefined) return null;
  return { path, kind: "directory", mode: modeOf(letters), uid: Number(owner), isWritable };
}

/** The mode bits of a text such as `rwxr-x--t`. */
function modeOf(letters: string): number {
  const bits = letters.replaceAll(/[rwxst]/g, "1").replaceAll(/[^1]/g, "0");
  return Number.parseInt(bits, 2) + (/[tT]$/.test(letters) ? 0o1000 : 0);
}

/** From a line of df; a device's name may contain spaces. */
function freeBytesOf(line: string): number | null {
  const [, freeKb] = / (\d+) +\d+% /.exec(line) ?? [];
  return freeKb === undefined ? null : Number(freeKb) * 1024;
}
