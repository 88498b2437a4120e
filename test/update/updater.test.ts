/** The steps to a new version, with real files, mirrors and small executables. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { openClock } from "../../lib/doors/clock.ts";
import { openProcesses } from "../../lib/doors/processes.ts";
import { type DurableFiles, openDurableFiles } from "../../lib/doors/durable-files.ts";
import { lockStore } from "../../lib/store/file.ts";
import { openPlaces } from "../../lib/update/places.ts";
import { FactoryError } from "../../lib/words/failure.ts";
import { createSettableClock } from "../lab/settable-clock.ts";
import { openStaticMirror } from "../lab/static-mirror.ts";
import { openUpdateLab, saying, started, type UpdateLab } from "../lab/update-lab.ts";

let lab: UpdateLab;
beforeEach(async () => {
  lab = await openUpdateLab();
});
afterEach(() => rmSync(lab.directory, { recursive: true, force: true }));

const newest = { wanted: null, allowDowngrade: false, retry: false };

async function complaint(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof FactoryError)) throw new Error(`not for people: ${String(error)}`);
  return `${error.message}; ${error.hint}`;
}

test("a new version is downloaded, tested, placed and started on trial; the one before stays", async () => {
  await lab.release("1.1.0");
  const updater = lab.updater();
  expect(await updater.prepare(newest)).toBe("1.1.0");
  expect(started(lab)).toBe(saying("1.0.0"));
  await updater.switchTo("1.1.0");
  expect(started(lab)).toBe(saying("1.1.0"));
  expect(await lab.places.mark("1.1.0")).toEqual({ kind: "trial", startsLeft: 3 });
  expect(await lab.places.previous()).toBe("1.0.0");
  const there = readdirSync(join(lab.prefix, "versions/1.1.0")).toSorted();
  expect(there).toEqual(["buildomat-factory-sp-test", "manifest.json", "manifest.sig", "sha256"]);
  expect(readdirSync(join(lab.prefix, "staging"))).toEqual([]);
});

test("check() changes nothing, and says what is offered", async () => {
  const updater = lab.updater();
  expect(await complaint(updater.check(newest))).toContain("manifest.json: it is not there");
  await lab.release("1.0.0");
  expect(await updater.check(newest)).toBeNull();
  await lab.release("1.1.0");
  expect((await updater.check(newest))?.release.version).toBe("1.1.0");
  expect(await lab.places.versions()).toEqual(["1.0.0"]);
  expect(await updater.state()).toMatchObject({ offered: "1.1.0", failure: null });
});

test("yesterday's manifest is refused for good, also by the next process", async () => {
  await lab.release("1.1.0");
  const old = ["manifest.json", "manifest.sig"].map(
    (name) => [name, readFileSync(join(lab.mirror, name))] as const,
  );
  await lab.release("1.2.0");
  await lab.updater().check(newest);
  for (const [name, bytes] of old) writeFileSync(join(lab.mirror, name), bytes);
  expect(await complaint(lab.updater().prepare(newest))).toContain("older than one that was seen");
  expect((await lab.updater().state()).failure?.text).toContain("older than one");
});

test("a manifest and an artifact of two releases do not go together", async () => {
  await lab.release("1.1.0");
  const name = (version: string): string =>
    join(lab.mirror, version, `buildomat-factory-sp-test-${version}-linux-x64.gz`);
  await lab.release("1.2.0");
  copyFileSync(name("1.1.0"), name("1.2.0"));
  expect(await complaint(lab.updater().prepare(newest))).toContain("not what was signed");
});

const broken: [what: string, content: string, why: string][] = [
  ["exits at once", "#!/bin/sh\nexit 1\n", "self-test ended with 1"],
  ["says nothing", "#!/bin/sh\n", "self-test ended with 0"],
  ["is a plain runtime", "#!/bin/sh\necho 1.4.5\n", "self-test ended with 0"],
  ["is another version", saying("1.0.9"), "it is buildomat-factory-sp-test 1.0.9"],
  ["is of another commit", saying("1.1.0", { commit: "0000" }), "(0000, linux-x64)"],
  ["is for another target", saying("1.1.0", { target: "linux-arm64" }), "linux-arm64"],
  ["is another product", saying("1.1.0", { product: "bun" }), "it is bun 1.1.0"],
  [
    "refuses the configuration",
    "#!/bin/sh\nprintf 'Cannot use config.toml: 1 problem\\n  general: it is gone\\n' >&2; exit 2\n",
    "Cannot use config.toml: 1 problem; general: it is gone",
  ],
  [
    "throws",
    "#!/bin/sh\nprintf '7 | throw new Error()\\n        ^\\nerror: it cannot\\n' >&2; exit 1\n",
    "self-test ended with 1: error: it cannot",
  ],
  ["lacks a library", "#!/bin/sh\nexit 127\n", "apk add libstdc++"],
  ["is not a program", "\x7fELF broken", "another CPU"],
  ["lacks its loader", "#!/lib/ld-musl-nowhere\n", "another libc"],
  ["says it and fails", `${saying("1.1.0")}exit 3\n`, "self-test ended with 3"],
];

test.each(broken)(
  "a new version that %s is never started, is marked, and is not tried again",
  async (_, content, why) => {
    await lab.release("1.1.0", content);
    expect(await complaint(lab.updater().prepare(newest))).toContain(why);
    expect(await lab.places.mark("1.1.0")).toMatchObject({ kind: "bad" });
    expect(started(lab)).toBe(saying("1.0.0"));
    expect(await complaint(lab.updater().prepare(newest))).toContain("was rolled back on this host");
    // With --retry it is judged again.
    expect(await complaint(lab.updater().prepare({ ...newest, retry: true }))).toContain(why);
    // The next one is not blamed for it.
    await lab.release("1.1.1");
    expect(await lab.updater().prepare(newest)).toBe("1.1.1");
  },
);

test("a version is not blamed for a configuration that the running one cannot use either", async () => {
  writeFileSync(lab.places.bin, "#!/bin/sh\nexit 2\n");
  await lab.release("1.1.0", "#!/bin/sh\necho 'Cannot use config.toml' >&2; exit 2\n");
  expect(await complaint(lab.updater().prepare(newest))).toContain("Cannot use config.toml");
  expect(await lab.places.mark("1.1.0")).toBeNull();
});

test("an update that is stopped during the self-test blames no version", async () => {
  await lab.release("1.1.0", "#!/bin/sh\nexec sleep 60\n");
  const stop = new AbortController();
  const processes = openProcesses({ clock: openClock() });
  const run: typeof processes.run = (asked) => {
    stop.abort();
    return processes.run(asked);
  };
  const stopped = lab.updater({ signal: stop.signal, processes: { run } }).prepare(newest);
  expect(stopped).rejects.toThrow();
  await stopped.catch(() => undefined);
  expect(await lab.places.mark("1.1.0")).toBeNull();
});

test("a host that may not start files in the prefix is not the version's fault", async () => {
  await lab.release("1.1.0");
  const files = { ...openDurableFiles(), setMode: (path: string) => Promise.resolve(chmodSync(path, 0o644)) };
  expect(await complaint(lab.updater({ files }).prepare(newest))).toContain("noexec");
  expect(await lab.places.mark("1.1.0")).toBeNull();
});

test("the self-test gets a clean environment, and the paths of configuration and database", async () => {
  const seen = join(lab.directory, "seen");
  await lab.release("1.1.0", saying("1.1.0").replace("\n", `\nenv > ${seen}; echo "$@" >> ${seen}\n`));
  process.env["BUN_OPTIONS"] = "--help";
  try {
    await lab.updater().prepare(newest);
  } finally {
    delete process.env["BUN_OPTIONS"];
  }
  const text = readFileSync(seen, "utf8");
  expect(text).toContain("self-test --json -f /config");
  expect(text).not.toContain("BUN_OPTIONS");
});

test("a version that was rolled back is tried again with --retry, and an older one is installed with --allow-downgrade", async () => {
  await lab.release("1.1.0");
  const updater = lab.updater();
  await updater.prepare(newest);
  await updater.switchTo("1.1.0");
  await lab.places.rollBack("it crashed");
  expect(await complaint(updater.prepare(newest))).toContain("--retry");
  expect(await updater.prepare({ ...newest, retry: true })).toBe("1.1.0");
  await updater.switchTo("1.1.0");
  await lab.places.setMark("1.1.0", ".good");
  await lab.release("1.0.0");
  const after = lab.updater({ running: "1.1.0" });
  const older = { ...newest, wanted: "1.0.0" };
  expect(await complaint(after.prepare(older))).toContain("--allow-downgrade");
  // Another build of what is installed here under that name.
  expect(await after.prepare({ ...older, allowDowngrade: true })).toBe("1.0.0");
});

test("of two at once, the second one is refused", async () => {
  await lab.release("1.1.0");
  const other = lockStore(join(lab.prefix, "install"));
  expect(await complaint(lab.updater().prepare(newest))).toContain(
    "another update or installation is under way",
  );
  // For `service status` that is no failure.
  expect((await lab.updater().state()).failure).toBeNull();
  other?.release();
  expect(await lab.updater().prepare(newest)).toBe("1.1.0");
});

test("another update at the same time does not remove the count of a version that is being switched to", async () => {
  await lab.release("1.1.0");
  const real = openDurableFiles();
  const meanwhile: string[] = [];
  const places = openPlaces({
    prefix: lab.prefix,
    files: {
      ...real,
      setLink: async (path, to) => {
        meanwhile.push(await complaint(lab.updater().prepare(newest)));
        await lab.updater().settle();
        await real.setLink(path, to);
      },
    },
  });
  expect(await lab.updater({ places }).install(newest)).toBe("1.1.0");
  expect(meanwhile).toHaveLength(2);
  expect(await lab.places.mark("1.1.0")).toEqual({ kind: "trial", startsLeft: 3 });
});

test("a long download does not hold up a roll-back", async () => {
  await lab.release("1.1.0");
  await lab.updater().install(newest);
  const other = lockStore(join(lab.prefix, "install"));
  const clock = createSettableClock();
  const rolledBack = lab.updater({ clock }).rollBack("asked for");
  const ticking = setInterval(() => void clock.advance(1000), 20);
  expect(await rolledBack).toEqual({ from: "1.1.0", to: "1.0.0" });
  clearInterval(ticking);
  other?.release();
});

test("a prefix that cannot be written is noticed before anything is downloaded, with what to do", async () => {
  await lab.release("1.1.0");
  await using mirror = await openStaticMirror(lab.mirror);
  const files = {
    ...openDurableFiles(),
    write: () =>
      Promise.reject(Object.assign(new Error("EROFS: read-only"), { code: "EROFS", syscall: "open" })),
  };
  const asked = lab.updater({ files, url: mirror.url }).prepare(newest);
  expect(await complaint(asked)).toContain("The file system is read-only");
  expect(mirror.asked).toEqual([]);
});

const disturbing: (keyof DurableFiles)[] = [
  "makeDirectory",
  "write",
  "setLink",
  "rename",
  "setMode",
  "openAt",
  "unpack",
];

/** From its call number `call` on, each change fails as the system refuses it. */
function failingFrom(call: number, code: string): { files: DurableFiles; hasFailed(): boolean } {
  let count = 0;
  const files = new Proxy(openDurableFiles(), {
    get: (real, name: keyof DurableFiles) => {
      if (!disturbing.includes(name) || (count += 1) < call) return real[name];
      return () => Promise.reject(Object.assign(new Error(`${code}: refused`), { code, syscall: "write" }));
    },
  });
  return { files, hasFailed: () => count >= call };
}

test.each([
  ["ENOSPC", "The disk is full"],
  ["EROFS", "read-only"],
])(
  "%s at any change leaves a version that starts and says what to do, and the next try succeeds",
  async (code, words) => {
    await lab.release("1.1.0");
    for (let call = 1; ; call += 1) {
      const { files, hasFailed } = failingFrom(call, code);
      const places = openPlaces({ prefix: lab.prefix, files });
      const updater = lab.updater({ files, places });
      const work = updater.prepare(newest).then(async () => await updater.switchTo("1.1.0"));
      if (!hasFailed()) await Promise.allSettled([work]);
      if (!hasFailed()) break;
      // What only remembers the switch may be lost: the link counts.
      if ((await lab.places.current()) === "1.0.0")
        expect([call, await complaint(work)]).toEqual([call, expect.stringContaining(words)]);
      else await work.catch(() => undefined);
      expect([saying("1.0.0"), saying("1.1.0")]).toContain(started(lab));
    }
    expect(started(lab)).toBe(saying("1.1.0"));
    expect(await lab.places.mark("1.1.0")).toMatchObject({ kind: "trial" });
  },
);

test("a roll-back works on a full disk", async () => {
  await lab.release("1.1.0");
  const updater = lab.updater();
  await updater.prepare(newest);
  await updater.switchTo("1.1.0");
  const full = {
    ...openDurableFiles(),
    write: () => Promise.reject(Object.assign(new Error("ENOSPC"), { code: "ENOSPC", syscall: "write" })),
  };
  await openPlaces({ prefix: lab.prefix, files: full }).rollBack("it crashed");
  expect(started(lab)).toBe(saying("1.0.0"));
  expect(await lab.places.mark("1.1.0")).toMatchObject({ kind: "bad" });
});

test("without update.url no mirror is asked, and the message says what to set in which file", async () => {
  const check = lab.updater({ url: null, configPath: "/the/config.toml" }).check(newest);
  expect(await check.catch((error: unknown) => error)).toMatchObject({
    message: expect.stringContaining("update.url") as string,
    hint: expect.stringContaining("/the/config.toml") as string,
  });
});

test("a state that cannot be read counts as empty", async () => {
  writeFileSync(join(lab.prefix, "update.json"), "{ torn");
  await lab.release("1.1.0");
  expect(await lab.updater().prepare(newest)).toBe("1.1.0");
  mkdirSync(join(lab.prefix, "staging/1.9.9"), { recursive: true });
  expect(existsSync(join(lab.prefix, "versions/1.1.0/sha256"))).toBe(true);
});

test("an installed version whose file is damaged is downloaded again, not started", async () => {
  await lab.release("1.1.0");
  await lab.updater().prepare(newest);
  // It says what the right one says.
  writeFileSync(lab.places.executableOf("1.1.0"), `${saying("1.1.0")}# damaged\n`);
  const again = lab.updater();
  expect(await again.prepare(newest)).toBe("1.1.0");
  await again.switchTo("1.1.0");
  expect(started(lab)).toBe(saying("1.1.0"));
});

test("prune() removes from staging what a kill left there, but not what another installer downloads", async () => {
  for (const name of ["install.4711", "1.2.0.draft"]) mkdirSync(join(lab.prefix, "staging", name));
  for (const name of [
    "0123456789abcdef.part",
    "1.0.0-local.0a1b2c.0d1e2f",
    "1.0.0-local.0a1b2c.9a8b7c6d.new",
  ])
    writeFileSync(join(lab.prefix, "staging", name), "");
  await lab.updater().prune();
  expect(readdirSync(join(lab.prefix, "staging"))).toEqual(["install.4711"]);
});
