/** The one way in which verbs change something: through the running factory, else, for its next start, in its files. */
import type { ActAnswer, WantedAct } from "../../control/act.ts";
import { actSchema, longestMs } from "../../control/act.ts";
import { mayNotHint } from "../../control/client.ts";
import { type BaseArgs, findBase, readConfigWithoutToken, workDirectoryOf } from "../../config/locations.ts";
import { openMemory } from "../../daemon/memory.ts";
import { actOn, namedTestbed } from "../../daemon/operator-acts.ts";
import { lockStore } from "../../store/store.ts";
import { parseDurationMs } from "../../words/duration.ts";
import { FactoryError } from "../../words/failure.ts";
import type { Log } from "../../words/logger.ts";
import { userNameOf } from "../accounts.ts";
import { whileWaiting } from "../waiting-line.ts";
import { usageError } from "../command-line.ts";
import { openOwnStore } from "../database.ts";
import { clientOf } from "../lab-snapshot.ts";
import { lookAround, type ThisProcess } from "../this-process.ts";

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
/** A factory that has just been started, or that ends, does not listen. */
const startsWithinMs = 5_000;
const askAgainMs = 100;

/** Exits with 1 if it was not done. */
export async function steer(here: ThisProcess, args: BaseArgs, act: WantedAct): Promise<number> {
  const { isDone, lines } = await whileWaiting(here, "asking the factory", askToAct(here, args, act));
  for (const line of lines) here.print(line);
  return isDone ? 0 : 1;
}

/** Throws a FactoryError if it can be asked of nobody. */
export async function askToAct(here: ThisProcess, args: BaseArgs, wanted: WantedAct): Promise<ActAnswer> {
  const parsed = actSchema.safeParse(wanted);
  if (!parsed.success) throw usageError(`--note ${parsed.error.issues[0]?.message}`);
  const client = clientOf(here, findBase(args, here.around));
  const untilMs = here.clock.uptimeMs() + startsWithinMs;
  for (;;) {
    const answer = await client.act(wanted);
    if (answer.ok) return answer.value;
    if (answer.is !== "nobody") {
      const hint = answer.is === "may not" ? { hint: mayNotHint } : {};
      throw new FactoryError(`Cannot ${wanted.verb}: ${answer.reason}`, { ...hint, exitCode: 1 });
    }
    const done = await actOnFiles(here, args, parsed.data);
    if (done !== null) return done;
    if (here.clock.uptimeMs() < untilMs) await here.clock.sleep(askAgainMs);
    else {
      throw new FactoryError(`Cannot reach the running factory: ${answer.reason}`, {
        hint: "It is an older version, or its log says why it has no control socket. Restart it: jobs run on",
        exitCode: 1,
      });
    }
  }
}

/** Null: a factory is running. */
async function actOnFiles(
  here: ThisProcess,
  args: BaseArgs,
  act: ReturnType<typeof actSchema.parse>,
): Promise<ActAnswer | null> {
  here.setUmask(0o077);
  const { clock } = here;
  const surroundings = await lookAround(here);
  const base = findBase(args, surroundings);
  const config = readConfigWithoutToken(base, surroundings);
  const lock = lockStore(base.database);
  if (lock === null) return null;
  try {
    const store = openOwnStore(base.database, workDirectoryOf(config, base), clock);
    try {
      const factory = { clock, config, store, log: silent, known: openMemory(store, clock) };
      if (act.verb === "drain" || act.verb === "reload") {
        return { isDone: true, lines: [`no factory is running: there is nothing to ${act.verb}`] };
      }
      const testbed = namedTestbed(factory, act.testbed);
      if (typeof testbed !== "string") return testbed;
      const answer = actOn(factory, act, await userNameOf(here, here.uid), testbed, null);
      if (answer === null || !answer.isDone) return answer;
      return {
        ...answer,
        lines: [...answer.lines, "no factory is running: this holds from the next start on"],
      };
    } finally {
      store.close();
    }
  } finally {
    lock.release();
  }
}

/** The act's part of a verb's arguments. */
export function actArgs({
  note,
  for: length,
  "after-job": isAfterJob,
  yes: isForced,
}: {
  note?: string;
  for?: string;
  "after-job"?: boolean;
  yes?: boolean;
}): Omit<WantedAct, "verb"> {
  const forMs = length === undefined ? null : parseDurationMs(length);
  if (length !== undefined && (forMs === null || forMs < 1000)) {
    throw usageError(`--for ${length} is not a duration: write a number and one of s, m, h, d, as in 2h`);
  }
  if (forMs !== null && forMs > longestMs) {
    throw usageError(`--for ${length} is longer than ten years`);
  }
  return {
    ...(note === undefined ? {} : { note }),
    ...(forMs === null ? {} : { forMs }),
    ...(isAfterJob === true ? { isAfterJob } : {}),
    ...(isForced === true ? { isForced } : {}),
  };
}
