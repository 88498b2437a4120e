/** Finds out for `check` whether an agent on a host behind ssh would reach the server. It leaves nothing there. */
import { passedNames } from "../agent-environment.ts";
import type { Random } from "../../doors/random.ts";
import { ask } from "./ask.ts";
import type { Connection } from "./connection.ts";

/**
 * Words: the server's address, and the path of this program there or an empty word. The agent's variables come on stdin, one on
 * each line, because a value may be a secret. curl and wget know proxy variables only in lower case, and do not know
 * NODE_EXTRA_CA_CERTS.
 */
const script = `
unset ${passedNames.join(" ")}
said=$(
  while IFS= read -r line && [ -n "$line" ]; do export "$line"; done
  exec 2>&1
  if [ -n "$2" ] && [ -x "$2" ]; then
    "$2" agent try "$1"
    exit
  fi
  set -- "$1/0/worker/ping" 10
  [ -z "\${HTTP_PROXY:-}" ] || export http_proxy="\${http_proxy:-$HTTP_PROXY}"
  [ -z "\${HTTPS_PROXY:-}" ] || export https_proxy="\${https_proxy:-$HTTPS_PROXY}"
  [ -z "\${ALL_PROXY:-}" ] || export all_proxy="\${all_proxy:-$ALL_PROXY}"
  [ -z "\${NO_PROXY:-}" ] || export no_proxy="\${no_proxy:-$NO_PROXY}"
  if command -v curl >/dev/null; then
    curl -sS -o /dev/null -m "$2" "$1" && exit
    [ -n "\${NODE_EXTRA_CA_CERTS:-}" ] && curl -sS -o /dev/null -m "$2" --cacert "$NODE_EXTRA_CA_CERTS" "$1" && exit
    exit 1
  elif command -v wget >/dev/null; then
    for option in "" \${NODE_EXTRA_CA_CERTS:+"--ca-certificate=$NODE_EXTRA_CA_CERTS"}; do
      # The server refuses a request without a token, which proves that it was reached.
      answer=$(wget -O /dev/null -T "$2" \${option:+"$option"} "$1" 2>&1) && exit
      case $answer in *" 401"*) exit 0 ;; esac
    done
    printf '%s\\n' "$answer"
    exit 1
  fi
  exit 3
)
case $? in
0) echo reached ;;
3) echo untried ;;
*) printf '%s\\n' "$said" ;;
esac`;

export type Trial = { kind: "reached" } | { kind: "untried" } | { kind: "failed"; reason: string };

export async function tryServerThere(
  connection: Connection,
  {
    baseurl,
    program,
    environment,
  }: { baseurl: string; program: string | null; environment: Record<string, string> },
  random: Random,
): Promise<Trial> {
  const lines = Object.entries(environment).map(([name, value]) => `${name}=${value}\n`);
  const stdin = `${lines.join("")}\n`;
  const reply = await ask(connection, random, { script, words: [baseurl, program ?? ""], stdin });
  if (!reply.ok) return { kind: "failed", reason: reply.reason };
  const [word = ""] = reply.lines;
  if (word === "reached" || word === "untried") return { kind: word };
  return { kind: "failed", reason: reply.lines.join("; ").slice(0, 500) };
}
