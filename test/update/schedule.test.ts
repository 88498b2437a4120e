/** What the daemon's process does by itself, on a settable clock: when it asks, when it starts a new version, and how it judges one. */
import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../../lib/config/config.ts";
import { openDurableFiles } from "../../lib/doors/durable-files.ts";
import { openPlaces } from "../../lib/update/places.ts";
import { type DaemonLook, runSchedule, type ScheduleOptions } from "../../lib/update/schedule.ts";
import { createSettableClock, type SettableClock } from "../lab/settable-clock.ts";
import { until } from "../lab/until.ts";
import { openUpdateLab, saying, type UpdateLab } from "../lab/update-lab.ts";

setDefaultTimeout(30_000);

const minute = 60_000;
const hour = 60 * minute;
let lab: UpdateLab;
let clock: SettableClock;
let look: DaemonLook;
let lines: string[];
let handedOver: number;
let isAsking: boolean;
const stops: (() => Promise<void>)[] = [];

beforeEach(async () => {
  lab = await openUpdateLab();
  clock = createSettableClock({ wallMs: Date.now() });
  look = { unseen: [], away: [], isServerDown: false, isStarting: false, hasOlder: false };
  [lines, handedOver, isAsking] = [[], 0, true];
});
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
  rmSync(lab.directory, { recursive: true, force: true });
});

function start(settings: Partial<Config["update"]>, changes: Partial<ScheduleOptions> = {}): void {
  const running = changes.running ?? "1.0.0";
  const ended = new AbortController();
  const note = (line: string): void => void lines.push(line);
  const run = runSchedule(
    {
      places: lab.places,
      updater: lab.updater({ clock, running, report: note }),
      settings: { mode: "notify", url: lab.mirror, channel: "stable", window: null, pin: null, ...settings },
      running,
      clock,
      random: { fraction: () => 0.5 },
      look: () => look,
      isSupervised: true,
      setAsking: (is) => void (isAsking = is),
      handOver: () => void (handedOver += 1),
      log: { info: note, warn: note },
      ...changes,
    },
    ended.signal,
  );
  stops.push(async () => {
    ended.abort();
    await run;
  });
}

/** Passes time in ticks, each of which ends before the next one: its work on files does not follow this clock. */
async function pass(ms: number): Promise<void> {
  const step = Math.max(30_000, ms / 40);
  for (let passed = 0; passed < ms; passed += step) {
    await until("the tick is over", () => clock.waiting() > 0);
    await clock.advance(step);
  }
  await until("the tick is over", () => clock.waiting() > 0);
}

const offered = (): string[] => lines.filter((line) => line.includes("can be installed"));

test("notify: some minutes after the start a new version is logged once, and nothing changes", async () => {
  await lab.release("1.1.0");
  start({});
  await pass(minute);
  expect(offered()).toEqual([]);
  await pass(6 * minute);
  await until("it is logged", () => offered().length === 1);
  await pass(7 * hour);
  expect(offered()).toHaveLength(1);
  expect(await lab.places.versions()).toEqual(["1.0.0"]);
  await lab.release("1.2.0");
  await pass(7 * hour);
  await until("the next one is logged, too", () => offered().length === 2);
});

test("when it asks next is known from the start on, and is forgotten if it does not ask", async () => {
  const next = async (): Promise<string | null> => (await lab.updater().state()).nextCheckAt;
  await lab.updater().remember({ nextCheckAt: "of the process before" });
  start({});
  await until("it is known", async () => (await next()) !== "of the process before");
  const inMs = Date.parse((await next()) ?? "") - clock.wallMs();
  expect(inMs).toBeGreaterThan(minute);
  expect(inMs).toBeLessThan(8 * minute);
  for (const stop of stops.splice(0)) await stop();
  start({ mode: "off" });
  await until("it is forgotten", async () => (await next()) === null);
});

test("off: nothing is asked", async () => {
  start({ mode: "off", url: "/nowhere" });
  await pass(8 * hour);
  expect(lines).toEqual([]);
});

test("auto: a new version starts by itself once no job is being started", async () => {
  await lab.release("1.1.0");
  look.isStarting = true;
  start({ mode: "auto" });
  await until("it is switched to", async () => {
    await pass(minute);
    return (await lab.places.current()) === "1.1.0";
  });
  expect(handedOver).toBe(0);
  look.isStarting = false;
  await pass(minute);
  expect(handedOver).toBeGreaterThan(0);
  expect((await lab.updater().state()).before).toMatchObject({ version: "1.1.0", isServerDown: false });
});

test("a job that never finishes its start does not hold up a hand-over for ever", async () => {
  look.isStarting = true;
  await lab.release("1.1.0");
  await lab.updater().prepare({ wanted: null, allowDowngrade: false, retry: false });
  start({});
  await lab.places.switchTo("1.1.0");
  // It looks each half a minute here, and sees the new version at the first look.
  await pass(minute);
  expect(handedOver).toBe(0);
  await pass(minute);
  await until("it hands over", () => handedOver > 0);
});

test("auto: outside the window a new version is made ready and not started", async () => {
  await lab.release("1.1.0");
  const local = new Date(clock.wallMs());
  const now = local.getHours() * 60 + local.getMinutes();
  const at = (offset: number): number => (now + offset + 1440) % 1440;
  start({ mode: "auto", window: { fromMinute: at(120), toMinute: at(180) } });
  await until("it is ready", async () => {
    await pass(minute);
    return (await lab.updater().state()).ready === "1.1.0";
  });
  await pass(30 * minute);
  expect(await lab.places.current()).toBe("1.0.0");
  expect(lines.at(-1)).toBe("1.1.0 is ready; it is started in update.window");
  await pass(2 * hour);
  expect(await lab.places.current()).toBe("1.1.0");
});

test("a window may span midnight, and ends before its last minute", async () => {
  await lab.release("1.1.0");
  await lab.updater().prepare({ wanted: null, allowDowngrade: false, retry: false });
  const local = new Date(clock.wallMs());
  const at = (offset: number): number => (local.getHours() * 60 + local.getMinutes() + offset + 1440) % 1440;
  const window = (from: number, to: number): Parameters<typeof start>[0] => ({
    mode: "auto",
    url: "/nowhere",
    window: { fromMinute: at(from), toMinute: at(to) },
  });
  start(window(-60, 0));
  await pass(minute);
  expect(await lab.places.current()).toBe("1.0.0");
  // All but one minute of the day.
  start(window(-1, -2));
  await pass(minute);
  await until("it is switched to", async () => (await lab.places.current()) === "1.1.0");
});

test("auto: a pinned version is the only one that is installed", async () => {
  await lab.release("1.1.0");
  await lab.release("1.2.0");
  start({ mode: "auto", pin: "1.1.0" });
  await until("it is switched to", async () => {
    await pass(minute);
    return (await lab.places.current()) === "1.1.0";
  });
});

test("no job is asked for once a hand-over is due, and again if it is called off", async () => {
  await lab.release("1.1.0");
  await lab.updater().prepare({ wanted: null, allowDowngrade: false, retry: false });
  look.isStarting = true;
  start({});
  await until("the first look is over", () => clock.waiting() > 0);
  expect(isAsking).toBe(true);
  await lab.places.switchTo("1.1.0");
  await clock.advance(3000);
  await until("nothing is asked for", () => !isAsking);
  expect(handedOver).toBe(0);
  await lab.places.rollBack("an operator rolled it back");
  await until("the tick is over", () => clock.waiting() > 0);
  await clock.advance(3000);
  await until("jobs are asked for", () => isAsking);
});

test("without a supervisor the daemon stays, and logs once what to do", async () => {
  await lab.release("1.1.0");
  await lab.updater().prepare({ wanted: null, allowDowngrade: false, retry: false });
  start({}, { isSupervised: false });
  await pass(minute);
  await lab.places.switchTo("1.1.0");
  await pass(5 * minute);
  expect(handedOver).toBe(0);
  expect(lines.filter((line) => line.includes("restart it to run 1.1.0"))).toHaveLength(1);
});

async function onTrial(): Promise<void> {
  await lab.release("1.1.0");
  await lab.updater().prepare({ wanted: null, allowDowngrade: false, retry: false });
  await lab.places.switchTo("1.1.0");
}

test("a version on trial does not ask for a newer one, however long its trial is", async () => {
  await onTrial();
  await lab.updater().remember({ before: { version: "1.1.0", isServerDown: false, unseen: [] } });
  await lab.release("1.2.0");
  look.isServerDown = true;
  start({ mode: "auto" }, { running: "1.1.0" });
  await pass(9 * minute);
  expect(await lab.places.mark("1.1.0")).toMatchObject({ kind: "trial" });
  expect(await lab.updater().state()).toMatchObject({ offered: "1.1.0" });
  look.isServerDown = false;
  await until("it asks once it is trusted", async () => {
    await pass(minute);
    return (await lab.updater().state()).offered === "1.2.0";
  });
});

test("a version on trial is confirmed after two minutes", async () => {
  await onTrial();
  start({ mode: "auto" }, { running: "1.1.0" });
  await pass(minute);
  expect(await lab.places.mark("1.1.0")).toMatchObject({ kind: "trial" });
  await pass(2 * minute);
  expect(await lab.places.mark("1.1.0")).toEqual({ kind: "good" });
});

test("a version that is deaf to the server is rolled back, and hands over to the one before", async () => {
  await onTrial();
  await lab.updater().remember({ before: { version: "1.1.0", isServerDown: false, unseen: [] } });
  look.isServerDown = true;
  start({}, { running: "1.1.0" });
  await pass(9 * minute);
  expect(handedOver).toBe(0);
  await pass(2 * minute);
  expect(await lab.places.mark("1.1.0")).toMatchObject({ kind: "bad" });
  expect(await lab.places.current()).toBe("1.0.0");
  expect(handedOver).toBeGreaterThan(0);
});

test("a server that was down before the switch is not the new version's fault", async () => {
  await onTrial();
  await lab.updater().remember({ before: { version: "1.1.0", isServerDown: true, unseen: [] } });
  look.isServerDown = true;
  start({}, { running: "1.1.0" });
  await pass(3 * minute);
  expect(await lab.places.mark("1.1.0")).toEqual({ kind: "good" });
});

test("the version before says that a newer one was rolled back, once", async () => {
  await onTrial();
  await lab.updater().remember({ before: { version: "1.1.0", isServerDown: false, unseen: [] } });
  await lab.places.rollBack("");
  start({ mode: "auto" });
  await until("it is logged", () => lines.some((line) => line.includes("1.1.0 was rolled back")));
  await stops.pop()?.();
  lines = [];
  start({ mode: "auto" });
  await pass(10 * minute);
  // The mirror still has it. That is not a fault, so nothing is logged.
  expect(lines).toEqual([]);
  const { nextCheckAt, failure } = await lab.updater().state();
  expect([nextCheckAt === null, failure]).toEqual([false, null]);
  expect(await lab.places.current()).toBe("1.0.0");
});

const full = (): Promise<never> =>
  Promise.reject(Object.assign(new Error("ENOSPC: no space left"), { code: "ENOSPC", syscall: "write" }));

test("a full disk does not end the daemon, and is logged once", async () => {
  await onTrial();
  const places = openPlaces({ prefix: lab.prefix, files: { ...openDurableFiles(), rename: full } });
  start({}, { running: "1.1.0", places });
  await pass(10 * minute);
  expect(lines.filter((line) => line.includes("The disk is full"))).toHaveLength(1);
  await stops.pop()?.();
  start({}, { running: "1.1.0" });
  await pass(3 * minute);
  expect(await lab.places.mark("1.1.0")).toEqual({ kind: "good" });
});

test("a full disk does not keep a daemon from handing over to the version before", async () => {
  await onTrial();
  await lab.places.rollBack("it crashed");
  start({}, { running: "1.1.0", updater: { ...lab.updater(), remember: full } });
  await pass(minute);
  expect(handedOver).toBeGreaterThan(0);
});

test("versions that nothing needs are removed, but not while a job of an older one runs", async () => {
  for (const version of ["1.1.0", "1.2.0"]) {
    const executable = join(lab.prefix, "staging", version);
    writeFileSync(executable, saying(version));
    const sha256 = await openDurableFiles().sha256(executable);
    await lab.places.place({ version, executable, sha256, signed: null });
    await lab.places.switchTo(version);
    await lab.places.setMark(version, ".good");
  }
  const names = async (): Promise<string[]> => await lab.places.versions();
  look.hasOlder = true;
  start({}, { running: "1.2.0" });
  await pass(minute);
  expect(await names()).toEqual(["1.0.0", "1.1.0", "1.2.0"]);
  look.hasOlder = false;
  await pass(minute);
  expect(await names()).toEqual(["1.1.0", "1.2.0"]);
});

test("a mirror that is away is logged once, not at each check, and ends nothing", async () => {
  start({ url: "/nowhere" });
  await lab.release("1.1.0");
  rmSync(lab.mirror, { recursive: true });
  await pass(30 * hour);
  expect(lines.filter((line) => line.includes("it is not there")).length).toBeGreaterThan(0);
});

test.each(["ENOSPC", "EROFS", "EACCES"])(
  "a prefix that refuses every write (%s) does not end the daemon: it is logged, and the version before runs on after a roll-back",
  async (code) => {
    await onTrial();
    await lab.updater().remember({ before: { version: "1.1.0", isServerDown: false, unseen: [] } });
    await lab.places.rollBack("");
    const refuse = (): Promise<never> =>
      Promise.reject(Object.assign(new Error(code), { code, syscall: "open" }));
    const files = { ...openDurableFiles(), write: refuse, remove: refuse, rename: refuse };
    const places = openPlaces({ prefix: lab.prefix, files });
    start({ mode: "auto" }, { places, updater: lab.updater({ clock, files, places }) });
    await pass(30 * minute);
    expect(lines.filter((line) => line.includes("Cannot write"))).not.toEqual([]);
    expect(lines.filter((line) => line.includes("1.1.0 was rolled back"))).toHaveLength(1);
  },
);

test("a version that was made ready before a newer one was installed by hand is not started", async () => {
  await onTrial();
  await lab.places.setMark("1.1.0", ".good");
  await lab.updater().remember({ ready: "1.0.0" });
  start({ mode: "auto", url: "/nowhere" }, { running: "1.1.0" });
  await pass(5 * minute);
  expect(await lab.places.current()).toBe("1.1.0");
});

test("a version that was made ready before another one was pinned is not started", async () => {
  await lab.release("1.1.0");
  await lab.updater().prepare({ wanted: null, allowDowngrade: false, retry: false });
  start({ mode: "auto", url: "/nowhere", pin: "1.0.0" });
  await pass(5 * minute);
  expect(await lab.places.current()).toBe("1.0.0");
});

test("a version that was revoked while it waited for its window is not started", async () => {
  await lab.release("1.1.0");
  await lab.updater().prepare({ wanted: null, allowDowngrade: false, retry: false });
  await lab.release("1.0.0", undefined, { revoke: [{ version: "1.1.0", reason: "it loses logs" }] });
  expect(await lab.updater().prepare({ wanted: null, allowDowngrade: false, retry: false })).toBeNull();
  start({ mode: "auto", url: "/nowhere" });
  await pass(5 * minute);
  expect(await lab.places.current()).toBe("1.0.0");
});
