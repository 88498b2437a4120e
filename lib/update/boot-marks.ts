/**
 * The files in boot/ by which the boot script and the program tell each other how far a version is trusted. They are changed by
 * renaming, which works on a full disk.
 */
import type { DurableFiles } from "../doors/durable-files.ts";
import { isRefusedBySystem } from "../words/failure.ts";

/** Null: this prefix never started it on trial. */
export type Mark =
  | { kind: "good" }
  | { kind: "bad"; reason: string }
  | { kind: "trial"; startsLeft: number }
  | null;

export interface BootMarks {
  mark(version: string): Promise<Mark>;
  setMark(version: string, ending: ".good" | ".bad" | `+${number}`): Promise<void>;
  markBad(version: string, reason: string): Promise<void>;
  /** It may be tried again. */
  clearMark(version: string): Promise<void>;
  /** The versions that have a count of starts. */
  onTrial(): Promise<{ version: string; startsLeft: number }[]>;
  /** The versions that were rolled back, also those that were removed since. */
  rolledBack(): Promise<string[]>;
}

/** `boot`: the directory, which may not exist yet. */
export function openBootMarks(boot: string, files: DurableFiles): BootMarks {
  /** One version has more than one file only after a kill or a power cut. */
  async function endings(version: string): Promise<string[]> {
    const names = (await files.list(boot)).filter((name) => name.startsWith(version));
    return names
      .map((name) => name.slice(version.length))
      .filter((ending) => /^(?:\.good|\.bad|\+\d)$/.test(ending));
  }

  const mark: BootMarks["mark"] = async (version) => {
    const found = await endings(version);
    if (found.includes(".bad")) {
      const reason = (await files.readBytes(`${boot}/${version}.bad`)) ?? new Uint8Array();
      return { kind: "bad", reason: new TextDecoder().decode(reason).trim() };
    }
    if (found.includes(".good")) return { kind: "good" };
    return found.length > 0 ? { kind: "trial", startsLeft: Math.min(...found.map(Number)) } : null;
  };

  const setMark: BootMarks["setMark"] = async (version, ending) => {
    const kept = `${boot}/${version}${ending}`;
    await files.makeDirectory(boot);
    const [first, ...others] = (await endings(version)).map((each) => `${boot}/${version}${each}`);
    if (first === undefined) await files.write(kept, "", 0o644);
    else if (first !== kept) await files.rename(first, kept);
    for (const path of others) if (path !== kept) await files.remove(path);
  };

  async function markBad(version: string, reason: string): Promise<void> {
    await setMark(version, ".bad");
    try {
      await files.write(`${boot}/${version}.bad`, `${reason}\n`, 0o644);
    } catch (error) {
      // A full disk has no room for the reason, but the mark counts.
      if (!isRefusedBySystem(error)) throw error;
    }
  }

  async function clearMark(version: string): Promise<void> {
    for (const ending of await endings(version)) await files.remove(`${boot}/${version}${ending}`);
  }

  const onTrial: BootMarks["onTrial"] = async () =>
    (await files.list(boot)).flatMap((name) => {
      const [, version, left] = /^(.+)\+(\d)$/.exec(name) ?? [];
      return version === undefined ? [] : [{ version, startsLeft: Number(left) }];
    });

  const rolledBack: BootMarks["rolledBack"] = async () =>
    (await files.list(boot))
      .filter((name) => name.endsWith(".bad"))
      .map((name) => name.slice(0, -".bad".length));

  return { mark, setMark, markBad, clearMark, onTrial, rolledBack };
}
