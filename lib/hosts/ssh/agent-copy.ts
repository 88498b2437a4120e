/**
 * Copies this executable to a host that has no agent, once for each version. A copy is used only after its hash was verified
 * there. Copies of other versions stay for the instances that have them, and go when nothing has used them for a day.
 */
import type { Random } from "../../doors/random.ts";
import { ask } from "./ask.ts";
import type { Connection } from "./connection.ts";
import type { Survey } from "./survey.ts";

export interface Executable {
  path: string;
  version: string;
  /** Hex. */
  sha256: string;
  bytes: number;
  /** System and CPU of the executable, in uname's words. */
  system: string;
  cpu: string;
}

const copyTimeoutMs = 300_000;
const name = "buildomat-factory-sp-test";

/**
 * Words: directory, file name, hash, size, `ask` or `copy` with the bytes on stdin. A file with this name was verified and has
 * run; if its size is wrong, a power cut or a full disk damaged it.
 */
const script = `
umask 077
target=$1/$2 copy=$1/$2.$$ wanted=$3 size=$4
sum_of() {
  sha256sum "$1" 2>/dev/null || shasum -a 256 "$1" 2>/dev/null || digest -a sha256 "$1" 2>/dev/null ||
    openssl dgst -r -sha256 "$1"
}
# is_used VERSION WORK: an open instance has it as bmat. A directory that only root can read counts as using it.
is_used() {
  for bin in "$2"/*/opt/bin; do
    [ -d "$bin" ] || continue
    [ -r "$bin" ] && [ -x "$bin" ] || return 0
    [ ! -f "$bin/bmat" ] || [ -L "$bin/bmat" ] || case $(cat "$bin/bmat") in *"/.agent/$1/"*) return 0 ;; esac
  done
  return 1
}
# A factory asks for its own version each time it reaches the host, which touches it.
for each in "\${1%/*}"/*; do
  [ "$each" = "$1" ] || [ -z "$(find "$each" -prune -mtime +0 2>/dev/null)" ] ||
    is_used "\${each##*/}" "\${1%/.agent/*}" || rm -rf "$each" || :
done
if [ -x "$target" ] && [ "$(wc -c <"$target")" -eq "$size" ]; then
  # Factories of other versions see by this that the copy is in use.
  touch "$1"
  echo there
elif [ "$5" = copy ]; then
  trap 'rm -f "$copy"' EXIT
  mkdir -p "$1" && cat >"$copy" || exit 1
  case $(sum_of "$copy") in
  "$wanted"*) ;;
  *) echo "the copy was cut short, or the host has no program for SHA-256" >&2; exit 1 ;;
  esac
  chmod 700 "$copy" && "$copy" --version >/dev/null && sync && mv "$copy" "$target" && echo there || exit 1
fi`;

/** Why it would not run there; null: no reason is known. */
export function whyNotCopied({ system, cpu }: Survey, executable: Executable | null): string | null {
  const missing = "there is no buildomat-agent on its PATH, and agent_path is not set";
  if (executable === null) return `${missing}; only the built executable can be copied`;
  if (executable.system === system && executable.cpu === cpu) return null;
  return `${missing}; this program is for ${executable.system} on ${executable.cpu}, but the host is ${system} on ${cpu}`;
}

/** The path of an existing copy. */
export function pathOfCopy({ workDirectory }: Survey, { version, sha256 }: Executable): string {
  return `${workDirectory}/.agent/${version}-${sha256.slice(0, 16)}/${name}`;
}

/** Resolves with the agent's path there. */
export async function copyAgent(
  connection: Connection,
  survey: Survey,
  executable: Executable | null,
  random: Random,
): Promise<{ ok: true; path: string } | { ok: false; reason: string }> {
  const reason = whyNotCopied(survey, executable);
  if (executable === null || reason !== null) return { ok: false, reason: reason ?? "" };
  const path = pathOfCopy(survey, executable);
  const directory = path.slice(0, -name.length - 1);
  const words = [directory, name, executable.sha256, String(executable.bytes)];
  const asked = await ask(connection, random, { script, words: [...words, "ask"], timeoutMs: 60_000 });
  if (!asked.ok) return asked;
  if (asked.lines.includes("there")) return { ok: true, path };
  const copied = await ask(connection, random, {
    script,
    words: [...words, "copy"],
    stdin: { file: executable.path },
    timeoutMs: copyTimeoutMs,
  });
  if (copied.ok) return { ok: true, path };
  return { ok: false, reason: `cannot copy this program there as the agent: ${copied.reason}` };
}
