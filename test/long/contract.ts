/**
 * What holds for an instance whatever its testbed hangs on: start, look, adopt, stop, tidy and logs, over each way in turn, with
 * the real factory as a process.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { openClock } from "../../lib/doors/clock.ts";
import { openHttp } from "../../lib/doors/http.ts";
import { isAtWork } from "../../lib/runner/idle-board.ts";
import { openSpRunnerApi } from "../../lib/runner/sp-runner.ts";
import { type FactoryProcess, type Lab, must, openLab } from "../lab/lab.ts";
import { processesNaming } from "../lab/leavings.ts";
import { openRunnerLab } from "../lab/sp-runner-lab.ts";
import { drained, openSshLab } from "../lab/ssh-lab.ts";
import { until } from "../lab/until.ts";

setDefaultTimeout(120_000);

const http = openHttp({ clock: openClock() });

/** A lab with `bed-1`, and jobs of it that last until the test lets them end. */
interface Bench {
  lab: Lab;
  /** Where the instance directories are. */
  work: string;
  /** Resolves with the job's id once it is at work. */
  begin(): Promise<string>;
  /** All jobs end, now and from now on. */
  release(): Promise<void>;
  /** A job that fails by itself. */
  submitBad(): Promise<string>;
  /** How many jobs were begun, whether they ended or not. */
  begun(): number;
}

function agentBench(lab: Lab, work = join(lab.base, "work")): Bench {
  const runs = join(lab.directory, "runs");
  const end = join(lab.directory, "end");
  const script = `echo x >>'${runs}'; echo begun; until [ -e '${end}' ]; do sleep 0.05; done; echo ended`;
  return {
    lab,
    work,
    begin: async () => {
      rmSync(end, { force: true });
      const id = await lab.submit(script);
      await until("the job is at work", async () => (await lab.said(id, "stdout")).includes("begun"));
      return id;
    },
    release: async () => void (await Bun.write(end, "")),
    submitBad: () => lab.submit(`echo x >>'${runs}'; exit 3`),
    begun: () => (existsSync(runs) ? readFileSync(runs, "utf8").length / 2 : 0),
  };
}

const ways: Record<string, () => Promise<Bench>> = {
  "an external agent on this host": async () => agentBench(await openLab()),
  "the built-in agent on this host": async () => agentBench(await openLab({ agent: "builtin" })),
  "an agent behind ssh": async () => {
    const lab = await openSshLab();
    return agentBench(lab, lab.work);
  },
  "an sp-runner service": async () => {
    const lab = await openRunnerLab();
    const { runner } = lab;
    return {
      lab,
      work: join(lab.base, "work"),
      begin: async () => {
        runner.mood.isHeld = true;
        const before = runner.submissions().length;
        const id = await lab.submit("true");
        await until("the job is at work", () => runner.submissions().length > before);
        return id;
      },
      release: async () => {
        runner.mood.isHeld = false;
        await until("no board is at work", async () => {
          const boards = must(await openSpRunnerApi({ http, baseurl: runner.url }).boards());
          return !boards.some(isAtWork);
        });
      },
      submitBad: () => {
        runner.mood.outcome = "failed";
        return lab.submit("true");
      },
      begun: () => runner.submissions().length,
    };
  },
};

interface Row {
  testbed: string;
  state: string;
  job: { id: string } | null;
}

async function statusOf(lab: Lab): Promise<Row | undefined> {
  const status = lab.start({ command: ["status", "--json"] });
  expect(await status.exited).toBe(0);
  const { testbeds } = JSON.parse(await status.stdout()) as { testbeds: Row[] };
  return testbeds.find(({ testbed }) => testbed === "bed-1");
}

async function tookOver(factory: FactoryProcess): Promise<void> {
  await until("it has started", () => factory.log().some(({ message }) => message.includes("started on")));
}

describe.each(Object.entries(ways))("%s", (_, open) => {
  test.concurrent("start: a job is run once, and ends with its own result", async () => {
    const bench = await open();
    await using lab = bench.lab;
    const factory = lab.start();
    const good = await bench.begin();
    await bench.release();
    expect((await lab.ended(good)).state).toBe("completed");
    expect((await lab.ended(await bench.submitBad())).state).toBe("failed");
    expect(bench.begun()).toBe(2);
    await drained(factory);
    expect(factory.log().filter(({ level }) => level !== "info")).toEqual([]);
  });

  test.concurrent("look: its testbed is in use until the job has ended, and takes no other one", async () => {
    const bench = await open();
    await using lab = bench.lab;
    const factory = lab.start();
    const id = await bench.begin();
    expect(await statusOf(lab)).toMatchObject({ state: "running", job: { id } });
    const next = await bench.submitBad();
    const asked = (): number => lab.proxy.calls.filter((call) => call === "GET /0/factory/workers").length;
    const before = asked();
    await until("it has looked around again", () => asked() > before + 2);
    expect((await lab.job(next)).state).toBe("queued");
    await bench.release();
    expect((await lab.ended(id)).state).toBe("completed");
    expect((await lab.ended(next)).state).toBe("failed");
    await drained(factory);
    expect(await statusOf(lab)).toMatchObject({ state: "no factory" });
  });

  test.concurrent("adopt: a factory that was killed is followed by one that takes the job over", async () => {
    const bench = await open();
    await using lab = bench.lab;
    const first = lab.start();
    const id = await bench.begin();
    first.kill("SIGKILL");
    await first.exited;
    const second = lab.start();
    await tookOver(second);
    second.kill("SIGKILL");
    await second.exited;
    // It ends while nobody looks.
    await bench.release();
    const third = lab.start();
    expect((await lab.ended(id)).state).toBe("completed");
    expect(bench.begun()).toBe(1);
    expect(
      must(await lab.user.events(id)).filter(({ stream }) => stream === "stdout").length,
    ).toBeGreaterThan(0);
    await drained(third);
  });

  test.concurrent("stop: a cancelled job is gone before the next one begins", async () => {
    const bench = await open();
    await using lab = bench.lab;
    const factory = lab.start();
    const id = await bench.begin();
    must(await lab.user.cancel(id));
    await bench.release();
    expect(await lab.ended(id)).toMatchObject({ state: "failed", cancelled: true });
    const next = await bench.begin();
    expect(processesNaming(`${bench.work}/bed-1_1`)).toEqual([]);
    await bench.release();
    expect((await lab.ended(next)).state).toBe("completed");
    await drained(factory);
  });

  test.concurrent("tidy: log and small records stay, secrets and what the job left go, and so does the lock", async () => {
    const bench = await open();
    await using lab = bench.lab;
    const factory = lab.start();
    const id = await bench.begin();
    await bench.release();
    expect((await lab.ended(id)).state).toBe("completed");
    await drained(factory);
    const directory = join(bench.work, "bed-1_1");
    expect(readdirSync(directory).toSorted()).toEqual(["agent.log", "minder", "opt"]);
    expect(readdirSync(join(directory, "opt"))).toEqual(["etc"]);
    const left = readdirSync(join(directory, "opt/etc"));
    // The built-in agent records more: how the job came out, which the line of its end says, and its hardware test.
    const more = ["job-verdict", "sp-runner.json"];
    expect(left.filter((name) => !more.includes(name))).toEqual(["job-done.json"]);
    const locks = readdirSync(join(lab.directory, "locks")).filter((name) => !name.startsWith("."));
    expect(locks).toEqual([]);
    expect(processesNaming(bench.work)).toEqual([]);
  });

  test.concurrent("logs: the agent's log is shown from here", async () => {
    const bench = await open();
    await using lab = bench.lab;
    const factory = lab.start();
    const id = await bench.begin();
    const follows = lab.start({ command: ["logs", "bed-1", "-f"] });
    await bench.release();
    expect((await lab.ended(id)).state).toBe("completed");
    await drained(factory);
    expect(await follows.exited).toBe(0);
    const whole = readFileSync(join(bench.work, "bed-1_1/agent.log"), "utf8");
    expect(whole.length).toBeGreaterThan(0);
    expect(await follows.stdout()).toBe(whole);
    const shown = lab.start({ command: ["logs", "bed-1/1"] });
    expect(await shown.exited).toBe(0);
    expect(await shown.stdout()).toBe(whole);
  });
});
