/** A prefix with a version, a mirror with newer ones, and an updater: small executables, real files. */
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openClock } from "../../lib/doors/clock.ts";
import { openDurableFiles } from "../../lib/doors/durable-files.ts";
import { openHttp } from "../../lib/doors/http.ts";
import { openProcesses } from "../../lib/doors/processes.ts";
import { openPlaces, type Places } from "../../lib/update/places.ts";
import { openUpdater, type Updater, type UpdaterOptions } from "../../lib/update/updater.ts";
import { version as own } from "../../lib/words/version.ts";
import { makeRelease, type ReleaseOptions } from "../../scripts/release.ts";
import { lockStore } from "../../lib/store/file.ts";

export const target = "linux-x64";
const commit = "0a1b2c3d4e5f";
const pair = generateKeyPairSync("ed25519");
export const signing = {
  public: pair.publicKey.export({ format: "der", type: "spki" }).toString("base64"),
  private: pair.privateKey.export({ format: "pem", type: "pkcs8" }),
};

/** An executable that says what it is, as the real one does. */
export function saying(version: string, changes: Record<string, string> = {}): string {
  const answer = JSON.stringify({ product: own.product, version, commit, target, ...changes });
  return `#!/bin/sh\n[ "$1" = self-test ] && echo '${answer}'\n`;
}

/** What most releases of a test have in common: as of now, and signed. */
export const stableRelease = (): Pick<
  ReleaseOptions,
  "privateKeys" | "channel" | "issuedMs" | "expiresDays" | "floor" | "revoke"
> => ({
  privateKeys: [signing.private],
  channel: "stable",
  issuedMs: Math.floor(Date.now() / 1000) * 1000,
  expiresDays: 90,
  floor: null,
  revoke: [],
});

export interface UpdateLab {
  directory: string;
  prefix: string;
  /** The directory that a static server would serve. */
  mirror: string;
  places: Places;
  release(version: string, content?: string, changes?: Partial<ReleaseOptions>): Promise<void>;
  updater(changes?: Partial<UpdaterOptions>): Updater;
  /** Lines that the updater reported. */
  said: string[];
}

/** The caller removes `directory`. */
export async function openUpdateLab(): Promise<UpdateLab> {
  const directory = mkdtempSync(join(tmpdir(), "update-lab-"));
  const [prefix, mirror] = [join(directory, "prefix"), join(directory, "mirror")];
  for (const each of [prefix, mirror, join(prefix, "staging")]) mkdirSync(each, { recursive: true });
  const files = openDurableFiles();
  const places = openPlaces({ prefix, files });
  const first = join(prefix, "staging", "first");
  writeFileSync(first, saying("1.0.0"));
  await places.place({
    version: "1.0.0",
    executable: first,
    sha256: await files.sha256(first),
    signed: null,
  });
  await places.switchTo("1.0.0");
  const said: string[] = [];
  const clock = openClock();
  return {
    directory,
    prefix,
    mirror,
    places,
    said,
    release: async (version, content = saying(version), changes = {}) => {
      await makeRelease({
        directory: mirror,
        version,
        commit,
        targets: [target],
        ...stableRelease(),
        build: async (_, executable) => await Bun.write(executable, content),
        ...changes,
      });
    },
    updater: (changes = {}) =>
      openUpdater({
        places,
        files,
        http: openHttp({ clock }),
        processes: openProcesses({ clock }),
        clock,
        keys: [signing.public],
        running: "1.0.0",
        target,
        url: mirror,
        channel: "stable",
        database: () => ({ least: 6, knows: 100 }),
        configPath: "/config",
        selfTest: { args: ["-f", "/config"], env: { PATH: "/usr/bin:/bin" } },
        takeLock: () => lockStore(join(prefix, "install")),
        report: (line) => said.push(line),
        onProgress: () => undefined,
        signal: new AbortController().signal,
        ...changes,
      }),
  };
}

export const started = ({ prefix }: UpdateLab): string =>
  readFileSync(join(prefix, "bin", own.product), "utf8");
