/** A version that crashes in its trial, by the boot script and the schedule, on a settable clock: a trial takes two minutes. */
import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { openDurableFiles } from "../../lib/doors/durable-files.ts";
import bootScript from "../../lib/service/boot.sh" with { type: "text" };
import { runSchedule } from "../../lib/update/schedule.ts";
import { createSettableClock, type SettableClock } from "../lab/settable-clock.ts";
import { until } from "../lab/until.ts";
import { openUpdateLab, saying, type UpdateLab } from "../lab/update-lab.ts";

setDefaultTimeout(30_000);

let lab: UpdateLab;
beforeEach(async () => {
  lab = await openUpdateLab();
  mkdirSync(join(lab.prefix, "libexec"));
  await openDurableFiles().write(lab.places.bootScript, bootScript, 0o755);
});
afterEach(() => rmSync(lab.directory, { recursive: true, force: true }));

/** What the supervisor starts then. */
function boot(): string {
  const ran = Bun.spawnSync(["sh", lab.places.bootScript, "self-test"], { cwd: "/" });
  return (JSON.parse(ran.stdout.toString()) as { version: string }).version;
}

/** The daemon of a version, which crashes after so many seconds: nothing of it is heard any more. */
async function liveFor(version: string, seconds: number, clock: SettableClock): Promise<string[]> {
  const crashed = new AbortController();
  const lines: string[] = [];
  const note = (line: string): void => void lines.push(line);
  const run = runSchedule(
    {
      places: lab.places,
      updater: lab.updater({ clock, running: version, report: note }),
      settings: { mode: "auto", url: lab.mirror, channel: "stable", window: null, pin: null },
      running: version,
      clock,
      random: { fraction: () => 0 },
      look: () => ({ unseen: [], away: [], isServerDown: false, isStarting: false, hasOlder: false }),
      isSupervised: true,
      setAsking: () => undefined,
      handOver: () => undefined,
      log: { info: note, warn: note },
    },
    crashed.signal,
  );
  for (let second = 0; second < seconds; second += 1) {
    await until("the tick is over", () => clock.waiting() > 0);
    await clock.advance(1000);
  }
  await until("the tick is over", () => clock.waiting() > 0);
  crashed.abort();
  await run;
  return lines;
}

async function switchToNew(): Promise<void> {
  await lab.release("1.1.0", saying("1.1.0"));
  await lab.updater().install({ wanted: null, allowDowngrade: false, retry: false });
}

test.each([1, 119])(
  "a version that crashes %i s into its trial is left after three starts, marked, and not tried again",
  async (seconds) => {
    await switchToNew();
    for (const left of [2, 1, 0]) {
      expect(boot()).toBe("1.1.0");
      await liveFor("1.1.0", seconds, createSettableClock({ wallMs: Date.now() }));
      expect(await lab.places.mark("1.1.0")).toEqual({ kind: "trial", startsLeft: left });
    }
    expect(boot()).toBe("1.0.0");
    expect(await lab.places.mark("1.1.0")).toMatchObject({ kind: "bad" });
    const lines = await liveFor("1.0.0", 300, createSettableClock({ wallMs: Date.now() }));
    // It has looked, and 1.1.0 is what the mirror has.
    expect((await lab.updater().state()).nextCheckAt).not.toBeNull();
    expect(lines.join("\n")).not.toContain("what the next start runs");
    expect([boot(), await lab.places.mark("1.1.0")]).toMatchObject(["1.0.0", { kind: "bad" }]);
  },
);

test("a version that crashes after its trial of two minutes is trusted", async () => {
  await switchToNew();
  expect(boot()).toBe("1.1.0");
  await liveFor("1.1.0", 123, createSettableClock({ wallMs: Date.now() }));
  expect(await lab.places.mark("1.1.0")).toEqual({ kind: "good" });
  expect([boot(), boot(), boot(), boot(), boot()]).toEqual(Array(5).fill("1.1.0"));
});
