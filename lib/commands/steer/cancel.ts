/** The verb `cancel TESTBED`: the server cancels a job for its owner alone, so that it needs that user's token. */
import { type BaseArgs, findBase, readConfigWithoutToken, readTokenFile } from "../../config/locations.ts";
import { openCustomerApi } from "../../devserver/customer.ts";
import { Secret } from "../../words/secret.ts";
import { usageError } from "../command-line.ts";
import { readSnapshot } from "../lab-snapshot.ts";
import { lookAround, type ThisProcess } from "../this-process.ts";
import { actArgs, askToAct } from "./steer.ts";

export interface CancelArgs extends BaseArgs {
  testbed?: string;
  "token-file"?: string;
  note?: string;
}

export async function cancelJob(here: ThisProcess, args: CancelArgs): Promise<number> {
  const { testbed, "token-file": tokenFile } = args;
  if (testbed === undefined) throw usageError("cancel needs a testbed");
  const surroundings = await lookAround(here);
  const base = findBase(args, surroundings);
  const { testbeds } = await readSnapshot(here, base, surroundings);
  const job = testbeds.find((each) => each.testbed === testbed)?.job?.id ?? null;
  if (job === null) {
    here.print(`${testbed} has no job`);
    return 1;
  }
  if (tokenFile === undefined) {
    here.print(
      `${testbed}: job ${job} runs on: the server lets only the user who submitted a job cancel it, and no factory`,
    );
    here.print(`  with that user's token: cancel ${testbed} --token-file FILE`);
    here.print(`  without: clear ${testbed} --because TEXT, which ends it as failed by the lab`);
    return 1;
  }
  const { general } = readConfigWithoutToken(base, surroundings);
  const token = new Secret(readTokenFile(tokenFile, surroundings).trim());
  const api = openCustomerApi({ http: here.http, baseurl: general.baseurl, token });
  const noted = await askToAct(here, args, { verb: "cancel", testbed, ...actArgs(args) });
  for (const line of noted.lines) here.print(line);
  if (!noted.isDone) return 1;
  const asked = await api.cancel(job);
  here.print(
    asked.ok
      ? `${testbed}: the server cancels job ${job}; what runs of it is ended in a moment`
      : `${testbed}: the server does not cancel job ${job}: ${asked.message}`,
  );
  return asked.ok ? 0 : 1;
}
