/**
 * Many jobs in bad weather, over each way that something can break on: connections that are cut, refused and frozen at random,
 * services that lose answers and forget, factories that are killed, and agents of hardware tests. Every job must end once, with its true result, and
 * nothing of it may be left on either side. The weather follows STORM_SEED; STORM_JOBS is how many jobs there are.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Job } from "../../lib/devserver/customer.ts";
import { openDice } from "../lab/dice.ts";
import { type FactoryProcess, type Lab, must, openLab } from "../lab/lab.ts";
import { endLeavings, processesNaming } from "../lab/leavings.ts";
import { killInstance, openRunnerLab } from "../lab/sp-runner-lab.ts";
import { drained } from "../lab/ssh-lab.ts";
import { type Sshd, startSshd } from "../lab/sshd.ts";
import { until } from "../lab/until.ts";

const seed = Number(process.env["STORM_SEED"] ?? 1 + Math.floor(Math.random() * 1e6));
const jobCount = Number(process.env["STORM_JOBS"] ?? 40);
setDefaultTimeout(60_000 + jobCount * 15_000);

const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `bed-${index + 1}`);
/** Each fifth job fails by itself. */
const isBad = (job: number): boolean => job % 5 === 4;

interface Storm {
  lab: Lab;
  env?: Record<string, string>;
  submit(job: number): Promise<string>;
  /** Something breaks, for a moment. */
  breakSomething(dice: () => number): Promise<void>;
  calmDown(): void;
}

interface Weathered {
  ids: string[];
  jobs: Job[];
  kills: number;
  breaks: number;
}

/** Until every job has ended; then a factory in good order, which removes what is kept. */
async function weather({ lab, env = {}, submit, breakSomething, calmDown }: Storm): Promise<Weathered> {
  const dice = openDice(seed);
  const ids: string[] = [];
  for (let job = 0; job < jobCount; job += 1) ids.push(await submit(job));
  const { calls } = lab.proxy;
  let callsBefore = calls.length;
  let factory: FactoryProcess = lab.start({ env });
  /** One that is killed before it has done anything gets nowhere, however often it is started: on a slow machine, for example. */
  const isAtWork = (): boolean =>
    calls.slice(callsBefore).filter((call) => call.includes("/0/factory/")).length > 3;
  const jobs: Job[] = [];
  let kills = 0;
  let breaks = 0;
  let isOver = false;
  const watching = (async () => {
    for (const id of ids) {
      jobs.push(
        await until(
          `job ${id} ends`,
          async () => {
            const job = await lab.job(id);
            return job.state === "completed" || job.state === "failed" ? job : null;
          },
          jobCount * 15_000,
        ),
      );
    }
  })().finally(() => {
    isOver = true;
  });
  while (!isOver) {
    await breakSomething(dice);
    breaks += 1;
    if (dice() < 0.5 && !isOver) {
      await until("the factory is at work", () => isOver || isAtWork());
      factory.kill("SIGKILL");
      await factory.exited;
      callsBefore = calls.length;
      factory = lab.start({ env });
      kills += 1;
    }
  }
  calmDown();
  await watching;
  await drained(factory);
  return { ids, jobs, kills, breaks };
}

function report(what: string, { jobs, kills, breaks }: Weathered, more: object): void {
  const good = jobs.filter(({ state }) => state === "completed").length;
  console.log(
    `${what}: ${JSON.stringify({ seed, jobs: jobs.length, completed: good, breaks, kills, ...more })}`,
  );
}

/** Removes what is kept, on all sides. */
async function sweep(lab: Lab, env: Record<string, string>, kept: () => string[]): Promise<void> {
  const factory = lab.start({ env });
  await until("nothing is kept", () => kept().length === 0);
  await drained(factory);
}

const directoriesIn = (path: string): string[] =>
  existsSync(path) ? readdirSync(path).filter((name) => name.startsWith("bed-")) : [];

test("jobs behind ssh", async () => {
  const lab = await openLab({ agent: "builtin", isCompiled: true });
  const sshds: Sshd[] = [];
  try {
    for (const host of ["bench-1", "bench-2"]) sshds.push(await startSshd(lab.directory, { host }));
    const works = ["far-1", "far-2"].map((name) => join(lab.directory, name));
    const beds = names(6).map((name, index): [string, string[]] => [
      name,
      [`host = "bench-${1 + (index % 2)}"`, 'ssh_user = "root"', `work_dir = "${works[index % 2]}"`],
    ]);
    const options = { agent: "builtin", testbeds: Object.fromEntries(beds) };
    lab.configure(options);
    const env = { PATH: `${lab.directory}/bin:${process.env["PATH"]}` };
    const runs = join(lab.directory, "runs");
    const weathered = await weather({
      lab,
      env,
      submit: (job) =>
        lab.submit(
          [
            `echo ${job} >>'${runs}'`,
            `for line in 1 2 3 4 5; do echo ${job}-$line; sleep 0.$((RANDOM % 4)); done`,
            `seq 1 ${job + 1} >/work/numbers.txt`,
            isBad(job) ? "exit 3" : "true",
          ].join("\n"),
          { name: `job-${job}`, rules: ["=/work/numbers.txt"] },
        ),
      breakSomething: async (dice) => {
        const sshd = sshds[Math.floor(dice() * sshds.length)];
        if (sshd === undefined) throw new Error("there is no sshd");
        const what = Math.floor(dice() * 4);
        const lasts = 100 + dice() * 1400;
        if (what === 0) sshd.cut();
        if (what === 1) {
          // Only those that are made from now on exist.
          sshd.cutAfter(Math.floor(dice() * 60_000));
          sshd.cut();
        }
        if (what === 2) sshd.refuse(true);
        if (what === 3) sshd.freeze(true);
        await Bun.sleep(lasts);
        sshd.cutAfter(null);
        sshd.refuse(false);
        sshd.freeze(false);
        await Bun.sleep(500 + dice() * 1500);
      },
      calmDown: () => {
        for (const sshd of sshds) {
          sshd.cutAfter(null);
          sshd.refuse(false);
          sshd.freeze(false);
        }
      },
    });
    const ran = readFileSync(runs, "utf8").trim().split("\n").map(Number);
    report("ssh", weathered, { connections: sshds.map((sshd) => sshd.connections()) });
    for (const [job, { id, state }] of weathered.jobs.entries()) {
      const lines = [1, 2, 3, 4, 5].map((line) => `${job}-${line}`);
      const outputs = must(await lab.user.outputs(id));
      expect({ job, state, said: await lab.said(id, "stdout"), outputs: outputs.length }).toEqual({
        job,
        state: isBad(job) ? "failed" : "completed",
        said: lines,
        outputs: 1,
      });
    }
    expect(ran.toSorted((a, b) => a - b)).toEqual(weathered.ids.map((_, job) => job));
    lab.configure({ ...options, general: ["keep = { days = 0 }"] });
    await sweep(lab, env, () => works.flatMap(directoriesIn));
    // What the factory had asked a host last may still be ending.
    await endLeavings(join(lab.directory, "far-"), 40_000);
    await endLeavings(join(lab.base, "work"), 40_000);
    expect(readdirSync(join(lab.directory, "locks")).filter((name) => !name.startsWith("."))).toEqual([]);
  } finally {
    for (const sshd of sshds) await sshd.stop();
    await lab[Symbol.asyncDispose]();
  }
});

test("jobs of an sp-runner service", async () => {
  await using lab = await openRunnerLab([], { boards: names(6), runMs: 1500 });
  const { runner } = lab;
  runner.mood.outcome = ({ test_type: name }) => (isBad(Number(name)) ? "failed" : "passed");
  const forgotten = new Set<number>();
  const pick = <T>(dice: () => number, words: T[]): T | undefined => words[Math.floor(dice() * words.length)];
  const weathered = await weather({
    lab,
    submit: (job) => lab.submit("true", { name: `job-${job}`, env: { SP_TEST_TYPE: String(job) } }),
    breakSomething: async (dice) => {
      const what = Math.floor(dice() * 10);
      if (what > 7) {
        for (const bed of names(6)) {
          const latest = directoriesIn(join(lab.base, "work"))
            .filter((name) => name.startsWith(`${bed}_`))
            .toSorted((a, b) => Number(a.replace(/.*_/, "")) - Number(b.replace(/.*_/, "")))
            .at(-1);
          if (latest !== undefined && dice() < 0.5) killInstance(lab, latest);
        }
      } else if (what < 4) {
        runner.mood.submit = pick(dice, ["begun in silence", "not begun in silence"] as const) ?? "answered";
      } else if (what < 7) {
        runner.mood.answers = pick(dice, ["500", "garbage", "unknown word"] as const) ?? "true";
      } else {
        for (const { test_type: name } of runner.forget()) forgotten.add(Number(name));
      }
      await Bun.sleep(200 + dice() * 1500);
      Object.assign(runner.mood, { submit: "answered", answers: "true" });
      await Bun.sleep(500 + dice() * 2000);
    },
    calmDown: () => void Object.assign(runner.mood, { submit: "answered", answers: "true" }),
  });
  const begun = runner.submissions().map(({ test_type: name }) => Number(name));
  const neverBegun = weathered.ids.flatMap((_, job) => (begun.includes(job) ? [] : [job]));
  report("sp-runner", weathered, { neverBegun: neverBegun.length, forgotten: forgotten.size });
  for (const [job, { id, state }] of weathered.jobs.entries()) {
    // The lab cannot run what the service lost; it must say so.
    const isLost = neverBegun.includes(job) || forgotten.has(job);
    const said = (await lab.said(id, "worker")).join("\n");
    const expected = isBad(job) || isLost ? "failed" : "completed";
    expect({ job, state, said: state === expected ? "" : said }).toEqual({ job, state: expected, said: "" });
    if (isLost) expect(said).toContain("it left no report");
    // The log's name is in the result, which may be lost; the report's is known.
    else expect(must(await lab.user.outputs(id)).length).toBeGreaterThan(1);
  }
  expect(new Set(begun).size).toBe(begun.length);
  expect(runner.hasDoubled()).toBe(false);
  const beds = names(6).map((name): [string, string[]] => [name, [`sp_runner_url = "${runner.url}"`]]);
  lab.configure({ agent: "builtin", testbeds: Object.fromEntries(beds), general: ["keep = { days = 0 }"] });
  await sweep(lab, {}, () => directoriesIn(join(lab.base, "work")));
  expect(processesNaming(join(lab.base, "work"))).toEqual([]);
  expect(readdirSync(join(lab.directory, "locks")).filter((name) => !name.startsWith("."))).toEqual([]);
});
