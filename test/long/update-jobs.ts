/**
 * Jobs of every way of dispatch run through updates of the installed program: real executables of three versions of this tree,
 * a real sshd, the simulated sp-runner service, and short jobs all the while.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openClock } from "../../lib/doors/clock.ts";
import { openRandom } from "../../lib/doors/random.ts";
import { buildVersion, type Change, common } from "../lab/built-versions.ts";
import { type InstalledLab, installIn } from "../lab/installed-lab.ts";
import { must } from "../lab/lab.ts";
import { processesNaming } from "../lab/leavings.ts";
import { type MoodyRunner, startMoodyRunner } from "../lab/moody-runner.ts";
import { openSshLab, type SshLab } from "../lab/ssh-lab.ts";
import { until } from "../lab/until.ts";

setDefaultTimeout(180_000);

const built = mkdtempSync(join(tmpdir(), "built-"));
const changes: Record<string, Change[]> = {
  "1.0.0": [],
  // It adds a table, which the version before does not know.
  "1.1.0": [["lib/store/file.ts", "\n];\n", '\n  "CREATE TABLE factory_later (x TEXT) STRICT;",\n];\n']],
  "1.2.0": [["lib/store/file.ts", "\n];\n", '\n  "CREATE TABLE factory_later (x TEXT) STRICT;",\n];\n']],
};
let commit = "";
beforeAll(async () => {
  for (const [version, own] of Object.entries(changes)) {
    ({ commit } = await buildVersion(built, version, [...common, ...own]));
  }
}, 120_000);
afterAll(() => rmSync(built, { recursive: true, force: true }));

const executableOf = (version: string): string => join(built, `built-${version}`);
const boards = ["outside-1", "inside-1", "far-1", "service-1"];

interface FourJobs extends AsyncDisposable {
  lab: SshLab;
  runner: MoodyRunner;
  installed: InstalledLab;
  /** One on each board. They print a numbered line every 100 ms (the service's: whenever it is asked) until `end`. */
  jobs: string[];
  /** By board: the pids of the agents that run for it. */
  agents(): Record<string, number[]>;
  /** Runs one short job on the second board of the far host; resolves with the path of the program that it had as its `bmat`. */
  runShort(): Promise<string>;
  /** All short jobs. */
  shorts: string[];
  end(): void;
  /** Waits until nothing of any job is left. */
  isCleanedUp(): Promise<void>;
}

/** 1.0.0 runs, and with it a job with an external agent, one with the built-in agent, one behind ssh and one at a service. */
async function openFourJobs(): Promise<FourJobs> {
  const [clock, random] = [openClock(), openRandom()];
  const runner = startMoodyRunner({ clock, random, boards: ["service-1"] });
  Object.assign(runner.mood, { isHeld: true, progress: "numbered" });
  const lab = await openSshLab({ agent: "builtin" });
  const short = must(await lab.admin.createTarget("sp-short", "for short jobs")).id;
  lab.configure({ agent: "stub", testbeds: { "outside-1": [] } });
  const executable = executableOf("1.0.0");
  const installed = await installIn(lab, { mode: "notify", version: "1.0.0", executable, commit });
  const stop = join(lab.directory, "stop");
  const script = `n=0; while [ ! -e ${stop} ]; do n=$((n+1)); echo line $n; sleep 0.1; done
    ! command -v bmat >/dev/null || bmat store put end reached`;
  const prints = async (id: string): Promise<void> =>
    void (await until("it prints", async () => (await lab.said(id, "stdout")).length > 3));
  installed.start();
  // All jobs on this host have the agent that is configured when they begin.
  const jobs = [await lab.submit(script)];
  await prints(jobs[0] ?? "");
  await installed.stop();
  const [sshBed, shortBed] = [lab.bed, lab.bed.map((line) => `${line}\n`).join("")];
  const service = [`sp_runner_url = "${runner.url}"`];
  installed.configure({
    agent: "builtin",
    testbeds: { "outside-1": [], "inside-1": [], "far-1": sshBed, "service-1": service },
    more: `[testbed.far-2]\nsp_type = "grapefruit"\ntargets = ["sp-short"]\n${shortBed}\n[target.sp-short]\nid = "${short}"`,
  });
  installed.start();
  for (let count = 0; count < 3; count += 1) jobs.push(await lab.submit(script));
  for (const id of jobs) await prints(id);
  const shorts: string[] = [];
  return {
    lab,
    runner,
    installed,
    jobs,
    shorts,
    agents: () =>
      Object.fromEntries(
        boards.map((board) => [
          board,
          processesNaming(`${lab.directory}/`).filter((pid) => isAgent(pid, board)),
        ]),
      ),
    runShort: async () => {
      const tasks = [{ name: "t", script: 'cat "$(command -v bmat)"', env_clear: false, env: {} }];
      const job = { name: "short", target: "sp-short", tasks, output_rules: [] };
      const { id } = must(await lab.user.submitJob(job));
      shorts.push(id);
      expect((await lab.ended(id)).state).toBe("completed");
      return (await lab.said(id, "stdout")).join("");
    },
    end: () => {
      writeFileSync(stop, "");
      runner.mood.isHeld = false;
    },
    isCleanedUp: async () =>
      void (await until("all is cleaned up", async () => must(await lab.factoryApi.workers()).length === 0)),
    [Symbol.asyncDispose]: async () => {
      await installed[Symbol.asyncDispose]();
      await lab[Symbol.asyncDispose]();
      await runner.stop();
    },
  };
}

/** The process itself, not a shell that starts or holds it. */
function isAgent(pid: number, board: string): boolean {
  try {
    const argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    const isOne = argv[1] === "agent" || argv[1]?.endsWith("/stub-agent.ts") === true;
    return (
      isOne && argv[2] === "run" && readFileSync(`/proc/${pid}/environ`, "utf8").includes(`/${board}_1/`)
    );
  } catch {
    return false;
  }
}

test("four jobs run through update, roll-back and update again, and lose nothing", async () => {
  await using four = await openFourJobs();
  const { lab, installed, jobs, shorts, runner, agents } = four;
  const before = agents();
  expect(Object.values(before).map(({ length }) => length)).toEqual([1, 1, 1, 1]);
  // Something is being leased, prepared or cleaned up at every moment.
  let isOver = false;
  const stream = (async () => {
    while (!isOver) await four.runShort();
  })();

  await installed.release("1.1.0", executableOf("1.1.0"));
  expect(await installed.run("update", "--now")).toMatchObject({
    code: 0,
    said: expect.stringContaining("the running factory hands over to 1.1.0 within seconds; its jobs run on"),
  });
  await installed.runs("1.1.0");
  await installed.isMarked("1.1.0", "good");
  expect(agents()).toEqual(before);

  expect(await installed.run("update", "--rollback")).toMatchObject({
    code: 0,
    said: expect.stringContaining("jobs run on"),
  });
  await installed.runs("1.0.0");
  expect(await installed.places.mark("1.1.0")).toMatchObject({ kind: "bad" });
  // The version before goes on with a database to which the newer one added a table, and takes jobs with it.
  const ended = shorts.length;
  await until("short jobs run", () => shorts.length > ended + 1);
  expect((await installed.run("status")).said).toMatch(/^service-1 .* running /m);
  expect((await installed.run("update", "--now")).said).toContain("was rolled back on this host");
  expect(agents()).toEqual(before);

  expect(await installed.run("update", "--now", "--retry")).toMatchObject({ code: 0 });
  await installed.runs("1.1.0");
  await installed.isMarked("1.1.0", "good");
  expect(agents()).toEqual(before);

  isOver = true;
  await stream;
  four.end();
  for (const id of jobs) {
    expect((await lab.ended(id)).state).toBe("completed");
    const lines = await lab.said(id, "stdout");
    expect(lines).toEqual(lines.map((_, index) => `line ${index + 1}`));
    expect(lines.length).toBeGreaterThan(10);
  }
  await four.isCleanedUp();
  // Each was leased once, got one worker, and one agent was started for it.
  const all = [...jobs, ...shorts];
  expect(lab.proxy.leased.toSorted()).toEqual(all.toSorted());
  const count = (call: string): number => lab.proxy.calls.filter((each) => each === call).length;
  expect(count("POST /0/factory/worker")).toBe(all.length);
  expect(count("POST /0/worker/bootstrap")).toBe(all.length);
  expect(runner.hasDoubled()).toBe(false);
  expect(runner.submissions()).toHaveLength(1);
  const warnings = installed
    .log()
    .split("\n")
    .filter((line) => /"level":"(?:warn|error)"/.test(line));
  expect(warnings.filter((line) => !line.includes("1.1.0 was rolled back"))).toEqual([]);
});

test("the programs of jobs that run stay, here and on hosts behind ssh, until these jobs end, and new jobs get the new one", async () => {
  await using four = await openFourJobs();
  const { lab, installed, jobs, agents } = four;
  const before = agents();
  const far = join(lab.work, ".agent");
  const copies = (): string[] =>
    readdirSync(far)
      .map((name) => name.replace(/-.*/, ""))
      .toSorted();
  expect(await four.runShort()).toContain(`'${far}/1.0.0-`);
  for (const version of ["1.1.0", "1.2.0"]) {
    await installed.release(version, executableOf(version));
    expect(await installed.run("update", "--now")).toMatchObject({ code: 0 });
    await installed.runs(version);
    await installed.isMarked(version, "good");
    expect(await four.runShort()).toContain(`'${far}/${version}-`);
  }
  // As if all this had taken two days: nothing asked for the old copies since then.
  const twoDaysAgo = Date.now() / 1000 - 2 * 86_400;
  for (const name of readdirSync(far).filter((each) => !each.startsWith("1.2.0")))
    utimesSync(join(far, name), twoDaysAgo, twoDaysAgo);
  const restart = async (): Promise<void> => {
    await installed.stop();
    installed.start();
    expect(await four.runShort()).toContain(`'${far}/1.2.0-`);
  };
  await restart();
  expect(copies()).toEqual(["1.0.0", "1.2.0"]);
  const here = (): string[] => readdirSync(join(installed.places.prefix, "versions")).toSorted();
  expect(here()).toEqual(["1.0.0", "1.1.0", "1.2.0"]);
  expect(agents()).toEqual(before);

  four.end();
  for (const id of jobs) expect((await lab.ended(id)).state).toBe("completed");
  // The built-in agents of 1.0.0, one here and one there, served their jobs' bmat to the last.
  const stores = await Promise.all(
    jobs.map(async (id) => Object.keys(must(await lab.user.store(id))).join()),
  );
  expect(stores.toSorted()).toEqual(["", "", "end", "end"]);
  await until("1.0.0 is gone here", () => here().join() === "1.1.0,1.2.0");
  await restart();
  expect(copies()).toEqual(["1.2.0"]);
  await four.isCleanedUp();
});
