/** The program of a lab in a prefix, under a loop that starts it again when it ends, and a mirror that gets new versions. */
import { appendFileSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openDurableFiles } from "../../lib/doors/durable-files.ts";
import bootScript from "../../lib/service/boot.sh" with { type: "text" };
import { openPlaces, type Places } from "../../lib/update/places.ts";
import { hostTarget } from "../../scripts/build.ts";
import { makeRelease } from "../../scripts/release.ts";
import type { Lab, LabOptions } from "./lab.ts";
import { openStaticMirror, type StaticMirror } from "./static-mirror.ts";
import { until } from "./until.ts";
import { stableRelease } from "./update-lab.ts";

export interface InstalledLab extends AsyncDisposable {
  places: Places;
  mirror: StaticMirror;
  /** Replaces config.toml. */
  configure(options: LabOptions): void;
  /** The mirror has it from now on. */
  release(version: string, executable: string): Promise<void>;
  /** Runs a command of the version that is installed then. */
  run(...words: string[]): Promise<{ code: number; said: string }>;
  start(): void;
  stop(): Promise<void>;
  /** All that its daemons logged. */
  log(): string;
  /** Waits until a daemon of this version has started. */
  runs(version: string): Promise<void>;
  isMarked(version: string, kind: "good" | "bad"): Promise<void>;
}

export interface InstalledOptions {
  mode: "auto" | "notify";
  version: string;
  executable: string;
  /** What `self-test` of all executables says. */
  commit: string;
}

const loop = `trap 'kill "$child"; wait "$child"; exit' TERM
while :; do "$0" run --base-dir "$1" 2>>"$2" & child=$!; wait "$child"; sleep 0.1; done`;

/** It is disposed before the lab. */
export async function installIn(
  lab: Lab,
  { mode, version: first, executable, commit }: InstalledOptions,
): Promise<InstalledLab> {
  const served = join(lab.directory, "mirror");
  const prefix = join(lab.directory, "prefix");
  const logPath = join(lab.directory, "loop.log");
  for (const each of [served, join(prefix, "staging"), join(prefix, "libexec")])
    mkdirSync(each, { recursive: true });
  const files = openDurableFiles();
  const places = openPlaces({ prefix, files });
  await files.write(places.bootScript, bootScript, 0o755);
  const staged = join(prefix, "staging", "first");
  copyFileSync(executable, staged);
  const sha256 = await files.sha256(staged);
  await places.place({ version: first, executable: staged, sha256, signed: null });
  await places.switchTo(first);
  const mirror = await openStaticMirror(served);
  writeFileSync(logPath, "");
  const settings = `\n\n[update]\nmode = "${mode}"\nurl = "${mirror.url}"\n`;
  appendFileSync(join(lab.base, "config.toml"), settings);
  let child: Bun.Subprocess | null = null;
  const env = {
    PATH: `${lab.directory}/bin:${process.env["PATH"]}`,
    HOME: lab.base,
    FACTORY_LOCK_DIR: join(lab.directory, "locks"),
  };
  const log = (): string => readFileSync(logPath, "utf8");
  const stop = async (): Promise<void> => {
    child?.kill("SIGTERM");
    await child?.exited;
    child = null;
  };
  const release = async (version: string, path: string): Promise<void> => {
    await makeRelease({
      directory: served,
      version,
      commit,
      targets: [hostTarget()],
      ...stableRelease(),
      build: (_, to) => Promise.resolve(copyFileSync(path, to)),
    });
  };
  await release(first, executable);
  return {
    places,
    mirror,
    configure: (options) => {
      lab.configure(options);
      appendFileSync(join(lab.base, "config.toml"), settings);
    },
    release,
    // Not waited for in place: the mirror is served by this process.
    run: async (...words) => {
      const asked = Bun.spawn([places.bin, ...words, "--base-dir", lab.base], {
        env,
        cwd: "/",
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      const [out, err] = await Promise.all([asked.stdout.text(), asked.stderr.text()]);
      return { code: await asked.exited, said: `${out}${err}` };
    },
    start: () => {
      child = Bun.spawn(["sh", "-c", loop, places.bootScript, lab.base, logPath], { env, cwd: "/" });
    },
    stop,
    log,
    runs: async (version) => {
      const lastStarted = (): string => log().split(": started on ").at(-2)?.split("\n").at(-1) ?? "";
      await until(
        `${version} is started`,
        async () => (await places.current()) === version && lastStarted().includes(` ${version} (`),
      );
    },
    isMarked: async (version, kind) =>
      void (await until(`${version} is ${kind}`, async () => (await places.mark(version))?.kind === kind)),
    [Symbol.asyncDispose]: async () => {
      await stop();
      await mirror[Symbol.asyncDispose]();
    },
  };
}
