/**
 * An installation that is killed again and again: install.sh, updates, roll-backs and the boot script get SIGKILL at random
 * moments, each on top of what the earlier kills left. After each kill what is started is a whole version, and a roll-back by the boot
 * script leads to one that was confirmed. The order follows UPDATE_SEED; UPDATE_KILLS is how many kills there are.
 */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDurableFiles } from "../../lib/doors/durable-files.ts";
import { openPlaces, type Places } from "../../lib/update/places.ts";
import { hostTarget } from "../../scripts/build.ts";
import { makeRelease } from "../../scripts/release.ts";
import { buildStandIn, buildVersion, common } from "../lab/built-versions.ts";
import { openDice } from "../lab/dice.ts";
import { processesNaming } from "../lab/leavings.ts";
import { stableRelease } from "../lab/update-lab.ts";
import { until } from "../lab/until.ts";

const seed = Number(process.env["UPDATE_SEED"] ?? 1 + Math.floor(Math.random() * 1e6));
const killCount = Number(process.env["UPDATE_KILLS"] ?? 300);
setDefaultTimeout(60_000 + killCount * 5_000);
const dice = openDice(seed);
const pick = <T>(from: readonly T[]): T => from[Math.floor(dice() * from.length)] as T;

const startedAt = Bun.nanoseconds();
const scratch = mkdtempSync(join(tmpdir(), "random-kills-"));
const files = openDurableFiles();
const [older, newer] = ["1.0.0", "1.1.0"];
const counts = new Map<string, number>();
const count = (what: string): void => void counts.set(what, (counts.get(what) ?? 0) + 1);

afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
  const seconds = Math.round((Bun.nanoseconds() - startedAt) / 1e9);
  const parts = [...counts].map(([what, times]) => `${what} ${times}`).toSorted();
  console.log(`seed ${seed}: ${killCount} kills in ${seconds} s: ${parts.join(", ")}`);
});

type Built = "executable" | "stand-in";

const executableOf = (built: Built, version: string): string =>
  join(scratch, built, `${built === "stand-in" ? "stand-in" : "built"}-${version}`);

/** The releases, in a directory of which the newest is the older version, and in one that has both. */
async function release(built: Built): Promise<{ early: string; late: string }> {
  const directory = join(scratch, built);
  const [early, late] = [join(directory, "early"), join(directory, "late")];
  for (const version of [older, newer]) {
    if (built === "stand-in") await buildStandIn(directory, version, common);
    else await buildVersion(directory, version, common);
    for (const mirror of version === older ? [early, late] : [late]) {
      mkdirSync(mirror, { recursive: true });
      await makeRelease({
        directory: mirror,
        version,
        ...(built === "stand-in" ? { commit: "stand-in" } : {}),
        targets: [hostTarget()],
        ...stableRelease(),
        build: (_, to) => Promise.resolve(copyFileSync(executableOf(built, version), to)),
      });
    }
  }
  return { early, late };
}

interface Scene {
  home: string;
  places: Places;
  /** What can be killed, as a command line. */
  commands: Record<string, string[]>;
}

function openScene({ early, late }: { early: string; late: string }): Scene {
  const home = mkdtempSync(join(scratch, "home-"));
  const [prefix, base] = [join(home, "prefix"), join(home, "base")];
  const places = openPlaces({ prefix, files });
  mkdirSync(base);
  writeFileSync(
    join(base, "config.toml"),
    `[general]\nbaseurl = "http://127.0.0.1:9"\n\n[factory]\ntoken = "token"\n\n[update]\nurl = "${late}"\n`,
    { mode: 0o600 },
  );
  const words = ["--user", "--no-service", "--prefix", prefix, "--base-dir", base];
  const update = (...more: string[]): string[] => [places.bin, "update", ...more, "--base-dir", base];
  return {
    home,
    places,
    commands: {
      [`install ${older}`]: ["sh", join(early, "install.sh"), "--offline", early, ...words],
      [`install ${newer}`]: ["sh", join(late, "install.sh"), "--offline", late, ...words],
      update: update("--now", "--retry"),
      "update back": update("--to", older, "--allow-downgrade", "--retry"),
      "roll-back": update("--rollback"),
      boot: ["sh", places.bootScript, "--version"],
    },
  };
}

/** `afterMs`: when it is killed, with all that it started. */
async function run(
  { home }: Scene,
  argv: string[],
  afterMs = Infinity,
): Promise<{ isKilled: boolean; code: number; said: string; ms: number }> {
  const startedMs = Bun.nanoseconds() / 1e6;
  const child = Bun.spawn(argv, {
    cwd: "/",
    env: { PATH: "/usr/bin:/bin:/usr/sbin:/sbin", HOME: home },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    detached: true,
  });
  const timer =
    afterMs === Infinity ? undefined : setTimeout(() => process.kill(-child.pid, "SIGKILL"), afterMs);
  const code = await child.exited;
  clearTimeout(timer);
  // The self-test of a new version has a group of its own, and nobody whom it could answer any more.
  await until("all of it has ended", () => processesNaming(home).length === 0);
  const said = `${await child.stdout.text()}${await child.stderr.text()}`;
  return { isKilled: child.signalCode === "SIGKILL", code, said, ms: Bun.nanoseconds() / 1e6 - startedMs };
}

/** What the supervisor would start, for which the boot script counts a start of a trial. */
async function boot(scene: Scene): Promise<string> {
  const { said } = await run(scene, scene.commands["boot"] ?? []);
  const current = (await scene.places.current()) ?? "";
  expect([older, newer]).toContain(current);
  expect(said).toContain(`buildomat-factory-sp-test ${current} (`);
  return current;
}

async function survive(built: Built, kills: number, livesOf: number): Promise<void> {
  const releases = await release(built);
  /** How long each took when it was last left alone. */
  const lasted = new Map<string, number>();
  const history: string[] = [];
  const must = async (scene: Scene, name: string): Promise<void> => {
    const ran = await run(scene, scene.commands[name] ?? []);
    expect([name, ran]).toEqual([name, expect.objectContaining({ code: 0 })]);
    lasted.set(name, ran.ms);
  };
  /** Undisturbed, everything works, whatever was there before. */
  const expectWorks = async (scene: Scene): Promise<void> => {
    const { places } = scene;
    await must(scene, existsSync(places.bin) ? "update" : `install ${older}`);
    await places.setMark(await boot(scene), ".good");
    if ((await places.current()) === newer) await must(scene, "update back");
    await places.setMark(await boot(scene), ".good");
    await must(scene, "update");
    expect(await boot(scene)).toBe(newer);
    await must(scene, "roll-back");
    expect(await boot(scene)).toBe(older);
    await must(scene, "boot");
    await must(scene, `install ${older}`);
    expect((await files.list(places.staging)).filter((name) => name.startsWith("install."))).toEqual([]);
    rmSync(scene.home, { recursive: true });
  };
  await expectWorks(openScene(releases));
  for (let killed = 0; killed < kills;) {
    const scene = openScene(releases);
    const { places, commands } = scene;
    const confirmed = new Set<string>();
    if (dice() < 0.7) {
      await must(scene, `install ${older}`);
      confirmed.add(older);
    }

    /** What is started is whole, and what a trial leads to is a version that was confirmed. */
    async function expectSound(): Promise<void> {
      if (confirmed.size === 0 && (await places.current()) === null) return;
      for (const version of await places.versions()) {
        const whole = await files.sha256(executableOf(built, version));
        expect([version, await files.sha256(places.executableOf(version))]).toEqual([version, whole]);
      }
      const current = await boot(scene);
      const mark = await places.mark(current);
      expect(mark?.kind).toBe(mark?.kind === "trial" ? "trial" : "good");
      if (mark?.kind === "good") return void confirmed.add(current);
      const fate = pick(["confirmed", "started in vain", "left on trial"]);
      if (fate === "confirmed") {
        await places.setMark(current, ".good");
        confirmed.add(current);
      } else if (fate === "started in vain") {
        for (let left = 4; left > 0 && (await places.current()) === current; left -= 1) await boot(scene);
        count("trials in vain");
        expect(confirmed).toContain(await boot(scene));
        expect((await places.mark(current))?.kind).toBe("bad");
      }
    }

    for (let life = 0; life < livesOf && killed < kills;) {
      const isThere = existsSync(places.bin);
      const name = pick(Object.keys(commands).filter((each) => isThere || each.startsWith("install")));
      // Soon, if what takes long was done before; or about where links and marks change, which is near the end.
      const wholeMs = lasted.get(name) ?? lasted.get(`install ${older}`) ?? 0;
      const afterMs = wholeMs * pick([dice(), dice() * 0.3, 0.7 + dice() * 0.5]);
      const ran = await run(scene, commands[name] ?? [], afterMs);
      history.push(`${name} ${ran.isKilled ? `killed after ${Math.round(afterMs)} ms` : ran.said}`);
      if (ran.isKilled) {
        killed += 1;
        life += 1;
        count(`${name} killed`);
      } else {
        lasted.set(name, ran.ms);
        count("ended before their kill");
      }
      try {
        await expectSound();
      } catch (error) {
        console.log(`seed ${seed}:\n${history.slice(-8).join("\n")}`);
        throw error;
      }
    }

    await expectWorks(scene);
  }
  counts.set(`of ${built}s`, kills);
}

const ofExecutables = Math.ceil(killCount / 5);

test("F112 executables that are killed at random moments leave a version that works", async () => {
  await survive("executable", ofExecutables, 20);
});

test("F112 stand-ins that are killed at random moments, and more often, leave a version that works", async () => {
  await survive("stand-in", killCount - ofExecutables, 20);
});
