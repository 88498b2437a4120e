/** Names and numbers of this host's users and groups: from its files, else from the directory service that it asks. */
import type { ThisProcess } from "./this-process.ts";

type Asking = Pick<ThisProcess, "files" | "processes" | "searchPath">;

/** The number, if the user has no name. */
export async function userNameOf(here: Asking, uid: number): Promise<string> {
  const [name] = (await find(here, "/etc/passwd", (fields) => fields[2] === String(uid))) ?? [];
  return name ?? (await ask(here, ["id", "-un", String(uid)])) ?? `uid ${uid}`;
}

/** Null: this host has no group of that name. */
export async function groupIdOf(here: Asking, name: string): Promise<number | null> {
  const found =
    (await find(here, "/etc/group", ([first]) => first === name)) ??
    (await ask(here, ["getent", "group", name]))?.split(":");
  return found?.[2] === undefined ? null : Number(found[2]);
}

async function find(
  { files }: Asking,
  path: string,
  isIt: (fields: string[]) => boolean,
): Promise<string[] | undefined> {
  const text = (await files.readText(path).catch(() => null)) ?? "";
  return text
    .split("\n")
    .map((line) => line.split(":"))
    .find(isIt);
}

async function ask({ processes, searchPath }: Asking, argv: string[]): Promise<string | null> {
  const asked = await processes.run({
    argv,
    env: { PATH: searchPath },
    timeoutMs: 5_000,
    maxBytes: 64 * 1024,
  });
  return asked.ok && asked.exitCode === 0 ? asked.stdout.trim() : null;
}
