/**
 * What operators ask, carried out one by one in the loop's turn: each is committed with its entry of the journal before it is
 * answered. Without a running factory a verb does the same on the files.
 */
import { type Act, type ActAnswer, refused } from "../control/act.ts";
import { nearestWord } from "../config/problems.ts";
import type { Observation } from "../policy/observation.ts";
import { limits } from "../policy/times-and-limits.ts";
import { isPassing } from "../store/store.ts";
import { errorText } from "../words/failure.ts";
import { clear } from "./operator-clear.ts";
import { entryOf, type Operated } from "./operator-intents.ts";
import { recoverTestbed } from "./operator-recover.ts";
import { lift, want } from "./operator-wishes.ts";
import type { Factory } from "./memory.ts";

/** An act that waits for the loop. */
export interface PendingAct {
  act: Act;
  /** The name of a user. */
  who: string;
  /** Uptime at which it was asked for. */
  askedMs: number;
  /** Aborts when the asker has gone. */
  signal: AbortSignal;
  answer(answer: ActAnswer): void;
}

/** What only a running factory can do. */
export interface Running {
  observe(): Observation;
  drain(): void;
}

type Answered = ActAnswer | Promise<ActAnswer>;

export function takeActs(factory: Factory, running: Running, pending: PendingAct[]): void {
  for (const each of pending.splice(0)) {
    if (each.signal.aborted) continue;
    const answered = answerTo(factory, running, each);
    if (answered !== null)
      void Promise.resolve(answered).then(each.answer, (error: unknown) =>
        each.answer(failure(factory, error)),
      );
    else if (factory.clock.uptimeMs() - each.askedMs < limits.actWaitMs) pending.push(each);
    else each.answer(refused("a step of its job is under way there and takes long: try again"));
  }
}

function answerTo(factory: Factory, running: Running, { act, who }: PendingAct): Answered | null {
  try {
    return carryOut(factory, running, act, who);
  } catch (error) {
    return failure(factory, error);
  }
}

/** Nothing was committed, or all of it. What an operator asks never ends the factory. */
function failure({ log }: Pick<Factory, "log">, error: unknown): ActAnswer {
  const text = isPassing(error)
    ? `cannot write the database: ${errorText(error)}`
    : `failed: ${errorText(error)}`;
  log.error(isPassing(error) ? text : `an operator's act failed: ${Bun.inspect(error)}`);
  return refused(text);
}

/** Null: it must wait for what is under way. Throws if it cannot be committed. */
function carryOut(factory: Factory, running: Running, act: Act, who: string): Answered | null {
  const { verb, note, testbed } = act;
  if (verb === "drain") {
    const answer = "takes nothing new, and ends when what runs has ended";
    factory.store.note([entryOf(factory, { verb, testbed: null, who, note, answer })]);
    factory.log.info(`${who}: drain${note === "" ? "" : `: ${note}`}`);
    running.drain();
    return { isDone: true, lines: [`the factory ${answer}`] };
  }
  const name = namedTestbed(factory, testbed);
  if (typeof name !== "string") return name;
  if (verb === "selftest" && act.job !== undefined) return expectJob(factory, act.job, name, who);
  if (verb === "recover") return recoverTestbed(factory, name, { who, note });
  return actOn(factory, act, who, name, running.observe);
}

/** A job that is there to prove this testbed is given to no other. The server has not released it yet. */
function expectJob(factory: Factory, job: string, testbed: string, who: string): ActAnswer {
  const { known, store } = factory;
  const answer = `proves itself with job ${job}`;
  store.note([entryOf(factory, { verb: "selftest", testbed, who, note: "", answer })]);
  const [oldest] = known.meant.keys();
  if (known.meant.size >= limits.meantJobs && oldest !== undefined) known.meant.delete(oldest);
  known.meant.set(job, testbed);
  return { isDone: true, lines: [`${testbed} ${answer}`] };
}

/** What needs the store and memory alone. `observe`: null without a running factory. */
export function actOn(
  factory: Operated,
  act: Act,
  who: string,
  testbed: string,
  observe: (() => Observation) | null,
): ActAnswer | null {
  switch (act.verb) {
    case "pause":
    case "reserve":
    case "quarantine":
      return want(factory, { ...act, verb: act.verb, testbed, who });
    case "resume":
    case "release":
    case "trust":
      return lift(factory, { ...act, verb: act.verb, testbed, who }, observe);
    case "clear":
      return clear(factory, { ...act, testbed, who }, observe !== null);
    case "cancel": {
      const answer = "asks the server to cancel its job, as the job's owner";
      factory.store.note([entryOf(factory, { verb: act.verb, testbed, who, note: act.note, answer })]);
      return { isDone: true, lines: [] };
    }
    default:
      return refused(`${act.verb} needs a running factory`);
  }
}

/** A testbed that is configured, or of which something is left. */
export function namedTestbed({ config, known }: Operated, name: string | undefined): string | ActAnswer {
  if (name === undefined) return refused("a testbed's name is missing");
  const names = config.testbeds.map((each) => each.name);
  const isLeft =
    (known.testbeds.get(name)?.intent ?? null) !== null ||
    known.instances.values().some(({ row }) => row.testbed === name);
  if (names.includes(name) || isLeft) return name;
  const near = nearestWord(name, names);
  const hint = near === null ? `testbeds: ${names.join(", ")}` : `did you mean ${near}?`;
  return refused(`no testbed is called "${name}"; ${hint}`);
}
