/** The verb `history`, of a factory that has run real jobs: while it runs, when it has ended, and for those who may only look. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { openJournal } from "../../lib/commands/journal-source.ts";
import { openClock } from "../../lib/doors/clock.ts";
import { openFiles } from "../../lib/doors/files.ts";
import { openHttp } from "../../lib/doors/http.ts";
import { openStore } from "../../lib/store/store.ts";
import { type FactoryProcess, type Lab, openLab } from "../lab/lab.ts";
import { jobOf } from "../policy/scenes.ts";
import { until } from "../lab/until.ts";

setDefaultTimeout(60_000);

let it: Lab;
let factory: FactoryProcess;
let good = "";
let bad = "";

beforeAll(async () => {
  it = await openLab({ agent: "builtin" });
  factory = it.start();
  good = await it.submit("true", { name: "power on" });
  await it.ended(good);
  bad = await it.submit("exit 3", { name: "flash" });
  await it.ended(bad);
  await until(
    "both are noted",
    async () => (await history("--json")).said.split('"what":"job"').length === 3,
  );
}, 60_000);

afterAll(async () => {
  await it[Symbol.asyncDispose]();
});

async function history(...args: string[]): Promise<{ code: number; said: string }> {
  const asked = it.start({ command: ["history"], args });
  const code = await asked.exited;
  return { code, said: await asked.stdout() };
}

const program = join(import.meta.dir, "../../factory.ts");
const job = (result: string, id: string, rest: string): RegExp =>
  new RegExp(String.raw`\d\d\d\d-\d\d-\d\d \d\d:\d\d  bed-1 +${result} +\d+s +\d+s +\d+s +${id}  ${rest}`);

test("each job is a line with its times, id, name and how it came out, and the last line counts them", async () => {
  const { said, code } = await history();
  expect(code).toBe(0);
  expect(said).toMatch(job("passed", good, "power on\n"));
  expect(said).toMatch(job("failed", bad, 'flash: task "task-0": exit code 3\n'));
  expect(said).toMatch(/factory +started: /);
  expect(said).toMatch(/\n2 jobs: 1 passed, 1 failed; waited [^,]+, ran [^,]+\n$/);
});

test.each<[string[], () => string[]]>([
  [["--failed"], () => [bad]],
  [["--job", "flash"], () => [bad]],
  [["bed-1", "--since", "1h"], () => [good, bad]],
  [["-n", "1"], () => [bad]],
])("%j shows only those jobs", async (args, ids) => {
  const { said } = await history(...args);
  expect([good, bad].filter((id) => said.includes(id))).toEqual(ids());
});

test("a job is found by its id, and by the beginning that a narrow terminal shows", async () => {
  for (const id of [good, good.slice(0, 12), good.toLowerCase()]) {
    const { said } = await history("--job", id);
    expect(said).toContain(good);
  }
});

test("what is not recorded is reported as that, with the name that may be meant", async () => {
  expect((await history("--job", "nothing")).said).toContain("no job that has ended is like that");
  const words = ["history", "bed-11", "--base-dir", it.base];
  const wrong = Bun.spawn([process.execPath, program, ...words], {
    stderr: "pipe",
  });
  expect(await wrong.stderr.text()).toContain("did you mean bed-1?");
  expect(await wrong.exited).toBe(2);
  expect((await history("--since", "yesterday")).code).toBe(2);
  expect((await history("-n", "0")).code).toBe(2);
});

test("--json is one document of all fields", async () => {
  const { said } = await history("--json");
  const document = JSON.parse(said) as { format: number; entries: { entry: { job?: string } }[] };
  expect(document.format).toBe(1);
  expect(document.entries.flatMap(({ entry }) => entry.job ?? [])).toEqual([good, bad]);
});

test("who cannot read the database asks the running factory", async () => {
  const clock = openClock();
  const refused = Object.assign(new Error("permission denied"), { code: "EACCES" });
  const files = { ...openFiles(), isThere: () => Promise.reject(refused) };
  const base = { config: join(it.base, "config.toml"), database: join(it.base, "data.sqlite3") };
  const doors = { http: openHttp({ clock }), clock, files };
  const journal = await openJournal(doors, base as Parameters<typeof openJournal>[1]);
  const found = await journal.read({ what: ["job"], most: 10 });
  expect(found.map(({ entry }) => entry.what === "job" && entry.job)).toEqual([good, bad]);
  expect(await journal.testbeds()).toEqual(["bed-1"]);
  journal.close();
  const nowhere = { ...base, database: join(it.directory, "data.sqlite3") } as Parameters<
    typeof openJournal
  >[1];
  expect(openJournal(doors, nowhere)).rejects.toThrow("permission denied");
});

test("without a factory the files are read, which is reported", async () => {
  factory.kill("SIGTERM");
  expect(await factory.exited).toBe(0);
  const asked = it.start({ command: ["history"] });
  expect(await asked.exited).toBe(0);
  expect(await asked.stdout()).toContain(good);
  expect((await history()).said).toMatch(/factory +stopped: /);
});

test("a history of several pages is whole and in order", async () => {
  const path = join(it.directory, "many.sqlite3");
  const store = openStore({ path, nowMs: 0, directoryOf: () => "/w" });
  store.note(Array.from({ length: 2_500 }, (_, seq) => ({ atMs: seq, entry: jobOf({ seq }) })));
  store.close();
  const seqs = async (...args: string[]): Promise<number[]> => {
    const asked = it.start({ command: ["history", "-d", path, "--json", ...args] });
    expect(await asked.exited).toBe(0);
    const { entries } = JSON.parse(await asked.stdout()) as { entries: { entry: { seq: number } }[] };
    return entries.map(({ entry }) => entry.seq);
  };
  expect(await seqs("-n", "9999")).toEqual(Array.from({ length: 2_500 }, (_, seq) => seq));
  expect(await seqs()).toEqual(Array.from({ length: 50 }, (_, index) => 2_450 + index));
  // Whoever reads is slower than the program, which then waits.
  const slow = `'${process.execPath}' '${program}' history -d '${path}' --json -n 9999 | { sleep 1; wc -l; }`;
  const read = Bun.spawn(["sh", "-c", slow], { stderr: "ignore" });
  expect((await read.stdout.text()).trim()).toBe("2502");
});
