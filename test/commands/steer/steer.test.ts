/** The verbs that steer a factory, with one running and without. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openFactoryClient } from "../../../lib/control/client.ts";
import { openClock } from "../../../lib/doors/clock.ts";
import { openHttp } from "../../../lib/doors/http.ts";
import { openStoreForReading } from "../../../lib/store/store.ts";
import type { Recorded } from "../../../lib/words/journal.ts";
import { type Lab, openLab } from "../../lab/lab.ts";
import { until } from "../../lab/until.ts";

setDefaultTimeout(60_000);

const me = Bun.spawnSync(["id", "-un"]).stdout.toString().trim();
const http = openHttp({ clock: openClock() });

const socketOf = ({ base }: Lab): string => join(base, "control/control.sock");

async function say(it: Lab, ...words: string[]): Promise<[number, string]> {
  const [verb = "", ...args] = words;
  const command = it.start({ command: [verb], args });
  const said = await command.stdout();
  return [await command.exited, said];
}

/** What the last command of the lab wrote to standard error. */
function complaint({ directory }: Lab): string {
  const logs = readdirSync(directory).filter((name) => /^factory-\d+\.log$/.test(name));
  return readFileSync(join(directory, `factory-${logs.length - 1}.log`), "utf8");
}

async function listening(it: Lab): Promise<void> {
  const client = openFactoryClient({ http, path: socketOf(it) });
  await until("it listens", async () => (await client.status()).ok);
}

async function stateOf(it: Lab): Promise<(string | null)[]> {
  const status = await openFactoryClient({ http, path: socketOf(it) }).status();
  const [testbed] = status.ok ? status.value.testbeds : [];
  return [testbed?.state ?? null, testbed?.whyNot ?? null];
}

function acts({ base }: Lab): Recorded["entry"][] {
  const store = openStoreForReading(join(base, "data.sqlite3"));
  try {
    return (store?.journal({ what: ["act"], most: 1_000 }) ?? []).map(({ entry }) => entry);
  } finally {
    store?.close();
  }
}

async function startJob(it: Lab): Promise<string> {
  const id = await it.submit("echo begun; sleep 1000");
  await until("it runs", async () => (await it.said(id, "stdout")).includes("begun"));
  return id;
}

/** Its name is known a moment after its agent has begun. */
const runsOn = (id: string): string => `job (?:"job" \\()?${id}\\)? runs on`;
const minute = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d`;

test.concurrent("a paused testbed takes no job until it is resumed, with a factory and across its restart", async () => {
  await using it = await openLab();
  const factory = it.start();
  await listening(it);
  expect(await say(it, "pause", "bed-1", "--note", "new cable")).toEqual([
    0,
    `bed-1: paused by ${me} until \`resume bed-1\`\n`,
  ]);
  const id = await it.submit("echo done");
  factory.kill("SIGTERM");
  await factory.exited;
  const again = it.start();
  await listening(it);
  expect(await stateOf(it)).toEqual(["paused", `paused by ${me}: new cable`]);
  expect((await it.job(id)).state).toBe("queued");
  const [code, said] = await say(it, "resume", "bed-1");
  expect(code).toBe(0);
  // Right after a start its host may not have been looked at.
  expect(said).toMatch(
    new RegExp(`^bed-1: no longer paused by ${me}\nbed-1: (?:it takes jobs|.* has not been checked yet)`),
  );
  expect((await it.ended(id)).state).toBe("completed");
  expect(await say(it, "resume", "bed-1")).toEqual([0, "bed-1 is not paused\n"]);
  expect(acts(it)).toMatchObject([
    { verb: "pause", testbed: "bed-1", who: me, note: "new cable" },
    { verb: "resume", testbed: "bed-1", who: me },
  ]);
  again.kill("SIGUSR1");
  expect(await again.exited).toBe(0);
});

test.concurrent("a running job is not touched, and what an act means is said", async () => {
  await using it = await openLab();
  const factory = it.start();
  const id = await startJob(it);
  const [code, said] = await say(it, "reserve", "bed-1", "--for", "2h");
  expect([code, said]).toEqual([
    0,
    expect.stringMatching(
      new RegExp(`^bed-1: reserved by ${me} until ${minute} \\(2 h\\); ${runsOn(id)}\\n$`),
    ),
  ]);
  expect((await say(it, "pause", "bed-1", "--after-job"))[1]).toMatch(
    new RegExp(`, after the job that it has; ${runsOn(id)}\n`),
  );
  expect((await say(it, "quarantine", "bed-1"))[0]).toBe(0);
  expect((await it.job(id)).state).toBe("running");
  expect((await say(it, "drain", "--note", "moving"))[1]).toBe(
    "the factory takes nothing new, and ends when what runs has ended\n",
  );
  expect((await it.job(id)).state).toBe("running");
  expect((await say(it, "trust", "bed-1"))[1]).toEndWith("bed-1: it takes no job now: a job has it\n");
  await say(it, "clear", "bed-1", "--yes", "--because", "the test is over");
  expect((await it.ended(id)).state).toBe("failed");
  expect(await factory.exited).toBe(0);
});

test.concurrent("mistakes are named: an unknown testbed, a length, a note, and no testbed", async () => {
  await using it = await openLab({ testbeds: { "gimlet-1": [], "gimlet-2": [] } });
  it.start();
  await listening(it);
  expect(await say(it, "pause", "gimlte-1")).toEqual([
    1,
    'no testbed is called "gimlte-1"; did you mean gimlet-1?\n',
  ]);
  expect((await say(it, "pause", "gimlet-1", "--for", "soon"))[0]).toBe(2);
  expect(complaint(it)).toContain("--for soon is not a duration");
  expect((await say(it, "pause", "gimlet-1", "--for", "99999999d"))[0]).toBe(2);
  expect(complaint(it)).toContain("--for 99999999d is longer than ten years");
  expect((await say(it, "reserve"))[0]).toBe(2);
  expect((await say(it, "pause", "gimlet-1", "--note", "a\nb"))[0]).toBe(2);
  expect(complaint(it)).toContain("--note must be one line of up to 500 characters");
  expect(acts(it)).toEqual([]);
});

test.concurrent("without a running factory an act holds from the next start on, and drain has nothing to do", async () => {
  await using it = await openLab();
  const [code, said] = await say(it, "reserve", "bed-1");
  expect([code, said]).toEqual([
    0,
    expect.stringMatching(
      new RegExp(
        `^bed-1: reserved by ${me} until ${minute} \\(1 h\\)\\nbed-1: 1 h is the usual; .*\\nno factory is running: this holds from the next start on\\n$`,
      ),
    ),
  ]);
  expect(await say(it, "drain")).toEqual([0, "no factory is running: there is nothing to drain\n"]);
  expect(await say(it, "recover", "bed-1")).toEqual([1, "recover needs a running factory\n"]);
  const factory = it.start();
  await listening(it);
  const id = await it.submit("echo done");
  expect(await stateOf(it)).toEqual(["reserved", `reserved by ${me}`]);
  expect((await it.job(id)).state).toBe("queued");
  expect((await say(it, "release", "bed-1"))[0]).toBe(0);
  expect((await it.ended(id)).state).toBe("completed");
  factory.kill("SIGUSR1");
  expect(await factory.exited).toBe(0);
});

test.concurrent("a factory whose socket is gone is named, and nothing is changed behind its back", async () => {
  await using it = await openLab();
  it.start();
  await listening(it);
  // As if it were of a version without one.
  Bun.spawnSync(["rm", socketOf(it)]);
  expect((await say(it, "pause", "bed-1"))[0]).toBe(1);
  expect(complaint(it)).toContain("Cannot reach the running factory: nobody listens on ");
  expect(acts(it)).toEqual([]);
});

test.concurrent("F124 an act that was answered is in the journal, also if the factory is killed at once", async () => {
  await using it = await openLab();
  const client = openFactoryClient({ http, path: socketOf(it) });
  for (let round = 1; round <= 12; round += 1) {
    const factory = it.start();
    await listening(it);
    const act = round % 2 === 1 ? "pause" : "resume";
    const answer = await client.act({ verb: act, testbed: "bed-1", note: `round ${round}` });
    factory.kill("SIGKILL");
    expect(answer).toMatchObject({ ok: true, value: { isDone: true } });
    await factory.exited;
    expect(acts(it).at(-1)).toMatchObject({ verb: act, note: `round ${round}` });
    const store = openStoreForReading(join(it.base, "data.sqlite3"));
    expect(store?.intents().has("bed-1")).toBe(round % 2 === 1);
    store?.close();
  }
});

test.concurrent("F122 a job whose testbed is taken while that is got ready runs on another one", async () => {
  await using it = await openLab();
  const slow = join(it.directory, "slow");
  it.configure({
    testbeds: { "bed-1": [`check = "while test -e '${slow}'; do sleep 0.1; done"`], "bed-2": [] },
  });
  const factory = it.start();
  await listening(it);
  expect((await say(it, "pause", "bed-2"))[0]).toBe(0);
  await until("it is free", async () => (await stateOf(it))[0] === "free");
  writeFileSync(slow, "");
  const id = await it.submit("echo done");
  await until("it is got ready", async () => (await stateOf(it))[0] === "preparing");
  expect((await say(it, "reserve", "bed-1"))[1]).toContain(`job ${id} is not begun here`);
  expect((await say(it, "resume", "bed-2"))[0]).toBe(0);
  rmSync(slow);
  expect((await it.ended(id)).state).toBe("completed");
  expect((await say(it, "drain"))[0]).toBe(0);
  expect(await factory.exited).toBe(0);
  const store = openStoreForReading(join(it.base, "data.sqlite3"));
  const jobs = store?.journal({ what: ["job"], most: 10 }).map(({ entry }) => entry) ?? [];
  store?.close();
  expect(jobs).toMatchObject([
    { testbed: "bed-1", result: "not begun", cause: "withheld", reason: `the testbed is reserved by ${me}` },
    { testbed: "bed-2", result: "ended", job: id },
  ]);
});
