/** `recover`: a service recovers the board now; any other testbed is looked at again without waiting. */
import { type ActAnswer, refused } from "../control/act.ts";
import { limits } from "../policy/times-and-limits.ts";
import { openInstanceOf } from "./instance-memory.ts";
import type { Factory } from "./memory.ts";
import { commitHealthy, forgetFailures } from "./operator-clear.ts";
import { describeIntent, describeJob, entryOf } from "./operator-intents.ts";
import { testbedMemory } from "./testbed-memory.ts";

/** Null: an action is under way there. Throws if it cannot be committed. */
export function recoverTestbed(
  factory: Factory,
  name: string,
  { who, note }: { who: string; note: string },
): ActAnswer | Promise<ActAnswer> | null {
  const { known, store } = factory;
  const key = `testbed ${name}`;
  if (known.busy.has(key)) return null;
  const url = factory.config.testbeds.find((each) => each.name === name)?.spRunnerUrl ?? null;
  const record = testbedMemory(known, name);
  const { intent } = record;
  if (url !== null && openInstanceOf(known, name) !== undefined) {
    return refused(
      `${name}: ${describeJob(factory, name, false)}: its board is not recovered while it has a job`,
    );
  }
  if (url !== null && intent?.kind === "reserved" && intent.who !== who) {
    return refused(`${name} is ${describeIntent(intent)}`);
  }
  const answer =
    url === null
      ? "its failures are forgotten, and it is looked at again"
      : `sp-runner ${url} recovers its board`;
  const noted = entryOf(factory, { verb: "recover", testbed: name, who, note, answer });
  // The factory itself tries it again as often as after a first failure.
  const trouble = record.trouble === null ? null : { ...record.trouble, recoveries: 0 };
  store.atOnce(() => {
    commitHealthy(factory, name, `${who} asked for its recovery`);
    store.setTrouble(name, trouble);
    store.note([noted]);
  });
  record.trouble = trouble;
  forgetFailures(factory, name);
  factory.log.info(`${who}: ${answer}`, { testbed: name });
  if (url !== null) return recoverBoard(factory, name, url);
  lookAgain(factory, name);
  return { isDone: true, lines: [`${name}: ${answer}`] };
}

function lookAgain({ known }: Pick<Factory, "known">, name: string): void {
  const record = testbedMemory(known, name);
  record.reached = null;
  record.check = null;
  if (known.host !== null) known.host = { ...known.host, atMs: Number.NEGATIVE_INFINITY };
}

/** No job is begun there until the service has answered, which it may do when it is done. */
async function recoverBoard(factory: Factory, name: string, url: string): Promise<ActAnswer> {
  const { known, clock, log } = factory;
  const key = `testbed ${name}`;
  known.busy.add(key);
  const asked = factory
    .openRunner(url)
    .recover(name)
    .then((answer): ActAnswer => {
      const said = answer.ok ? `${answer.value.status} ${answer.value.message ?? ""}`.trim() : answer.message;
      log.info(`sp-runner on its recovery: ${said}`, { testbed: name });
      testbedMemory(known, name).recoveringSinceMs = clock.uptimeMs();
      return { isDone: answer.ok, lines: [`${name}: sp-runner says: ${said}`] };
    })
    .finally(() => {
      known.busy.delete(key);
      lookAgain(factory, name);
    });
  const deadline = clock.deadline(limits.recoverAnswerMs);
  const late = new Promise<ActAnswer>((resolve) => {
    const lines = [`${name}: sp-runner was told to recover its board, and has not answered yet`];
    deadline.signal.addEventListener("abort", () => resolve({ isDone: true, lines }), { once: true });
  });
  return await Promise.race([asked, late]).finally(deadline.release);
}
