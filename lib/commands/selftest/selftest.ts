/** The verb `selftest`: proves each testbed, or one, by a small job. Only a job shows that a target's id is right. */
import type { Config, Testbed } from "../../config/config.ts";
import { type BaseArgs, findBase, readConfigWithoutToken, readTokenFile } from "../../config/locations.ts";
import { didYouMean } from "../../config/problems.ts";
import { openCustomerApi } from "../../devserver/customer.ts";
import type { Snapshot } from "../../status/snapshot.ts";
import { servedTargets } from "../../policy/free-testbeds.ts";
import { FactoryError } from "../../words/failure.ts";
import { Secret } from "../../words/secret.ts";
import { usageError } from "../command-line.ts";
import { clientOf, readSnapshot } from "../lab-snapshot.ts";
import { lookAround, type ThisProcess } from "../this-process.ts";
import { askToAct } from "../steer/steer.ts";
import { proveBySmallJob, type SmallJob, type SmallJobDoors } from "./small-job.ts";

export interface SelftestArgs extends BaseArgs {
  testbed?: string;
  "token-file"?: string;
}

/** Small jobs that are under way at once. */
const atOnce = 8;

/** Exit code 1: a testbed was not proved, or none was tried. */
export async function runSelftest(here: ThisProcess, args: SelftestArgs): Promise<number> {
  const { testbed: only, "token-file": tokenFile } = args;
  if (tokenFile === undefined) {
    throw usageError(
      "selftest needs --token-file FILE: jobs are submitted with a user's token, not the factory's",
    );
  }
  const around = await lookAround(here);
  const base = findBase(args, around);
  const config = readConfigWithoutToken(base, around);
  const token = new Secret(readTokenFile(tokenFile, around).trim());
  const api = openCustomerApi({ http: here.http, baseurl: config.general.baseurl, token });
  const asked = await clientOf(here, base).status();
  if (!asked.ok) {
    throw new FactoryError(`Cannot test: no factory answers (${asked.reason})`, {
      hint: "Start the factory: the small jobs run through it",
      exitCode: 1,
    });
  }
  const cancelled = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) here.once(signal, () => cancelled.abort());
  const doors: SmallJobDoors = {
    api,
    clock: here.clock,
    signal: cancelled.signal,
    claim: async (job, testbed) => {
      const { isDone, lines } = await askToAct(here, args, { verb: "selftest", testbed, job });
      return isDone ? null : lines.join("; ");
    },
    whyNot: async (testbed) =>
      (await readSnapshot(here, base, around)).testbeds.find((each) => each.testbed === testbed)?.whyNot ??
      null,
  };
  const { jobs, skipped } = choose(config, await readSnapshot(here, base, around), only);
  for (const line of skipped) here.print(line);
  let proved = 0;
  const queue = [...jobs];
  const work = async (): Promise<void> => {
    for (let job = queue.shift(); job !== undefined && !cancelled.signal.aborted; job = queue.shift()) {
      if (await prove(job, doors, here.print)) proved += 1;
    }
  };
  if (jobs.length > 0)
    here.print(`Testing ${jobs.length === 1 ? jobs[0]?.testbed : `with ${jobs.length} jobs`}...`);
  await Promise.all(Array.from({ length: atOnce }, work));
  return jobs.length > 0 && proved === jobs.length ? 0 : 1;
}

async function prove(job: SmallJob, doors: SmallJobDoors, print: (line: string) => void): Promise<boolean> {
  const { clock } = doors;
  const begunMs = clock.uptimeMs();
  const { job: id, steps, fault } = await proveBySmallJob(job, doors);
  const took = `${((clock.uptimeMs() - begunMs) / 1_000).toFixed(1)} s`;
  const about = id === null ? "" : ` (job ${id})`;
  print(`${job.testbed}: ${fault === null ? "well" : "NOT WELL"}, ${job.target.name}, ${took}${about}`);
  for (const step of steps) print(`  proved: ${step}`);
  if (fault !== null) print(`  failed: ${fault}`);
  return fault === null;
}

/** One job for each target of each testbed that takes jobs now. */
function choose(
  { testbeds, targets }: Pick<Config, "testbeds" | "targets">,
  { testbeds: seen }: Snapshot,
  only: string | undefined,
): { jobs: SmallJob[]; skipped: string[] } {
  const names = testbeds.map(({ name }) => name);
  if (only !== undefined && !names.includes(only)) {
    throw new FactoryError(`No testbed is called "${only}"${didYouMean(only, names)}`, {
      hint: `There are ${names.join(", ")}`,
    });
  }
  const jobs: SmallJob[] = [];
  const skipped: string[] = [];
  for (const testbed of testbeds.filter(({ name }) => only === undefined || name === only)) {
    const why = whySkipped(testbed, seen, only);
    if (why !== null) {
      skipped.push(`${testbed.name}: not tested: ${why}`);
      continue;
    }
    for (const target of servedTargets(testbed, { targets })) jobs.push({ testbed: testbed.name, target });
  }
  return { jobs, skipped };
}

function whySkipped(
  { name, spRunnerUrl, testType }: Testbed,
  seen: Snapshot["testbeds"],
  only: string | undefined,
): string | null {
  const found = seen.find(({ testbed }) => testbed === name);
  if (found === undefined) return "the running factory has not read its section yet";
  if (found.state !== "free") return found.whyNot ?? found.state;
  if (spRunnerUrl === null || only !== undefined) return null;
  return `a job there is a hardware test (${testType}): name the testbed to run it`;
}
