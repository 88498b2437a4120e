/**
 * A board that an sp-runner service works on: whether it can take a job, and whether it is idle again. The service knows
 * nothing of our jobs' ends but what it says of the board.
 */
import { z } from "zod";
import type { Testbed } from "../config.ts";
import { type Instance, instanceName, isFormer } from "../domain.ts";
import type { Reached } from "../host.ts";
import { intervals } from "../plan-observation.ts";
import { askForBoard, findBoard, isAtWork } from "../sp-runner-api.ts";
import { type Factory, logFor } from "./known.ts";
import { done, failed, type Outcome, waiting } from "./outcome.ts";

/** A board that does not come back needs a person. */
const mostRecoveries = 3;
const lookAgainMs = 2_000;

/** Whether the board can take a job; one that has failed is told to recover. */
export async function reachBoard(factory: Factory, testbed: Testbed, url: string): Promise<Reached> {
  const { hosts } = factory;
  const asked = await askForBoard(factory.openRunner(url), url, testbed.name);
  if (!asked.ok) return asked;
  const { board } = asked;
  if (board.status === "available" && !isAtWork(board)) {
    return { ok: true, host: { ...hosts.here, agent: hosts.builtIn } };
  }
  if (board.status === "failed-needs-recovery") return await recoverBoard(factory, testbed, url);
  return { ok: false, reason: `sp-runner ${url} says that its board is ${board.status}` };
}

async function recoverBoard(
  { known, store, clock, log, openRunner }: Factory,
  { name }: Testbed,
  url: string,
): Promise<Reached> {
  const what = `sp-runner ${url} says that its board failed and needs recovery`;
  const before = known.troubles.get(name) ?? { reason: what, sinceMs: clock.wallMs(), recoveries: 0 };
  const { recoveries } = before;
  if (recoveries >= mostRecoveries) {
    return { ok: false, reason: `${what}, which did not help ${recoveries} times: it needs a person` };
  }
  const trouble = { ...before, recoveries: recoveries + 1 };
  store.setTrouble(name, trouble);
  known.troubles.set(name, trouble);
  const answer = await openRunner(url).recover(name);
  const said = answer.ok ? `${answer.value.status}: ${answer.value.message}` : answer.message;
  log.warn(`told sp-runner to recover the board: ${said}`, { testbed: name });
  return { ok: false, reason: `${what}: it was told to do that` };
}

const recordSchema = z.object({ phase: z.string() });

/**
 * Whether the service is done with the board, after the agent's end. The agent's own record tells: nothing was submitted, or
 * the job's end was seen. Where it was not, the board must be idle twice, 10 s apart.
 */
export async function proveBoardIdle(factory: Factory, instance: Instance): Promise<Outcome> {
  const { files, known, clock } = factory;
  const { spRunnerUrl: url, directory } = instance.place;
  if (url === undefined || isFormer(instance)) return done;
  const text = await files.readText(`${directory}/opt/etc/sp-runner.json`);
  if (text === null || phaseOf(text) === "ended") return done;
  const name = instanceName(instance);
  const asked = await findBoard(factory.openRunner(url), url, instance.testbed);
  if (!asked.ok) {
    known.idleSinceMs.delete(name);
    return failed(`cannot tell whether the board is idle: ${asked.reason}; the testbed stays reserved`);
  }
  if (isAtWork(asked.board)) {
    if (known.idleSinceMs.get(name) !== Number.POSITIVE_INFINITY) {
      logFor(factory, instance).info("sp-runner still works on the board: the testbed stays reserved");
    }
    known.idleSinceMs.set(name, Number.POSITIVE_INFINITY);
    return waiting(lookAgainMs);
  }
  const sinceMs = Math.min(known.idleSinceMs.get(name) ?? Number.POSITIVE_INFINITY, clock.uptimeMs());
  known.idleSinceMs.set(name, sinceMs);
  return clock.uptimeMs() - sinceMs >= intervals.confirmMs ? done : waiting(lookAgainMs);
}

/** A record that cannot be read proves nothing. */
function phaseOf(text: string): string | null {
  try {
    const record = recordSchema.safeParse(JSON.parse(text));
    return record.success ? record.data.phase : null;
  } catch {
    return null;
  }
}
