/** This program as the agent of a host that has none: its copy there; by this host's shell instead of an sshd. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { openClock } from "../../../lib/doors/clock.ts";
import { openProcesses } from "../../../lib/doors/processes.ts";
import { openRandom } from "../../../lib/doors/random.ts";
import { copyAgent, type Executable, pathOfCopy } from "../../../lib/hosts/ssh/agent-copy.ts";
import type { Connection } from "../../../lib/hosts/ssh/connection.ts";
import type { Survey } from "../../../lib/hosts/ssh/survey.ts";
import { testWith } from "../../lab/needs.ts";

const processes = openProcesses({ clock: openClock() });
const random = openRandom();
let directory = "";
/** Words before each command there. */
let as: string[] = [];
beforeEach(() => {
  as = [];
  directory = mkdtempSync(join(tmpdir(), "agent-copy-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Runs a host's commands here. */
const here: Connection = {
  run: async (argv, stdin, timeoutMs) =>
    await processes.run({
      argv: [...as, ...argv],
      stdin,
      env: { PATH: "/usr/bin:/bin", HOME: directory },
      timeoutMs,
      maxBytes: 65_536,
    }),
  watch: () => ({ close: () => undefined }),
  close: () => Promise.resolve(),
};

const survey = (): Survey => ({
  system: "Linux",
  cpu: "x86_64",
  user: "lab",
  uid: 1,
  home: directory,
  path: "",
  workDirectory: join(directory, "far"),
  machine: "m",
  agent: null,
  place: null,
  freeBytes: null,
  hasBash: true,
  isMainLine: false,
});

function executableOf(text: string): Executable {
  const path = join(directory, "executable");
  writeFileSync(path, text);
  const sha256 = createHash("sha256").update(text).digest("hex");
  return { path, version: "1", sha256, bytes: text.length, system: "Linux", cpu: "x86_64" };
}

test("an agent is used only if its copy has the hash of this program", async () => {
  const executable = executableOf("#!/bin/sh\necho 1\n");
  const wrong = { ...executable, sha256: "0".repeat(64) };
  expect(await copyAgent(here, survey(), wrong, random)).toMatchObject({ ok: false });
  const copied = await copyAgent(here, survey(), executable, random);
  if (!copied.ok) throw new Error(copied.reason);
  expect(readFileSync(copied.path, "utf8")).toBe("#!/bin/sh\necho 1\n");
});

test("a program that does not run there is never taken for a copy, and only its user may look at copies", async () => {
  const executable = executableOf("#!/bin/sh\nexit 1\n");
  for (let attempt = 1; attempt <= 2; attempt += 1)
    expect(await copyAgent(here, survey(), executable, random)).toMatchObject({ ok: false });
  const place = dirname(pathOfCopy(survey(), executable));
  expect([readdirSync(place), statSync(place).mode & 0o777]).toEqual([[], 0o700]);
});

test("a copy is on the disk before it gets its name", async () => {
  const executable = executableOf("#!/bin/sh\necho 1\n");
  const path = pathOfCopy(survey(), executable);
  const noting = `#!/bin/sh\n[ -e '${path}' ] || echo early >>'${directory}/synced'\n`;
  writeFileSync(join(directory, "sync"), noting, { mode: 0o755 });
  as = ["env", `PATH=${directory}:/usr/bin:/bin`];
  expect(await copyAgent(here, survey(), executable, random)).toEqual({ ok: true, path });
  expect(readFileSync(join(directory, "synced"), "utf8")).toBe("early\n");
});

test("a copy that a power cut damaged is replaced, and a complete one is not sent again", async () => {
  const executable = executableOf("#!/bin/sh\necho 1\n");
  const first = await copyAgent(here, survey(), executable, random);
  if (!first.ok) throw new Error(first.reason);
  rmSync(executable.path);
  // Nobody asked for it for days.
  utimesSync(dirname(first.path), 1, 1);
  expect((await copyAgent(here, survey(), executable, random)).ok).toBe(true);
  writeFileSync(first.path, "#!/bin/sh\n");
  executableOf("#!/bin/sh\necho 1\n");
  expect((await copyAgent(here, survey(), executable, random)).ok).toBe(true);
  expect(readFileSync(first.path, "utf8")).toBe("#!/bin/sh\necho 1\n");
});

test("a copy of another version stays while an instance has it or a factory asked for it, then goes", async () => {
  const copy = async (version: string): Promise<string> => {
    const executable = { ...executableOf(`#!/bin/sh\necho ${version}\n`), version };
    const copied = await copyAgent(here, survey(), executable, random);
    if (!copied.ok) throw new Error(copied.reason);
    return copied.path;
  };
  const [old, idle, fresh] = [await copy("2.0.0"), await copy("2.1.0"), await copy("2.2.0")];
  const daysAgo = (days: number): number => Date.now() / 1000 - days * 86_400;
  for (const path of [old, idle, fresh]) utimesSync(dirname(path), daysAgo(2), daysAgo(2));
  const bin = join(survey().workDirectory, "bed-1_1/opt/bin");
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(bin, "bmat"), `#!/bin/sh\nexec '${old}' 'bmat' "$@"\n`);
  // It is asked for whenever the host is reached, not only when it is copied.
  await copy("2.2.0");
  const running = await copy("2.3.0");
  expect([old, idle, fresh, running].map(existsSync)).toEqual([true, false, true, true]);
  rmSync(join(bin, "bmat"));
  await copy("2.3.0");
  expect([old, fresh, running].map(existsSync)).toEqual([false, true, true]);
});

testWith("root")(
  "a copy of another version stays while a directory of root's may say that it is used",
  async () => {
    const executable = executableOf("#!/bin/sh\necho 1\n");
    const other = join(survey().workDirectory, ".agent/0.9.0-0123456789abcdef");
    const bin = join(survey().workDirectory, "bed-1_1/opt/bin");
    for (const each of [other, bin]) mkdirSync(each, { recursive: true });
    utimesSync(other, 1, 1);
    Bun.spawnSync(["chown", "-R", "65534", directory]);
    chownSync(bin, 0, 0);
    chmodSync(bin, 0o700);
    as = ["setpriv", "--reuid=65534", "--clear-groups", "--"];
    const copy = async (): Promise<boolean> => (await copyAgent(here, survey(), executable, random)).ok;
    expect([await copy(), existsSync(other)]).toEqual([true, true]);
    rmSync(bin, { recursive: true });
    expect([await copy(), existsSync(other)]).toEqual([true, false]);
  },
);

test.each([{ system: "SunOS" }, { cpu: "aarch64" }])(
  "a program is not copied to a host that is not like this one: %j",
  async (over) => {
    const executable = executableOf("#!/bin/sh\necho 1\n");
    expect(await copyAgent(here, { ...survey(), ...over }, executable, random)).toEqual({
      ok: false,
      reason: expect.stringContaining("this program is for Linux on x86_64"),
    });
    expect(existsSync(join(directory, "far"))).toBe(false);
  },
);
