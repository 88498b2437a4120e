/** Takes a failure of the lab in: against its testbed, or against what several of them share (lib/policy/health.ts judges that). */
import { endText } from "../policy/end-causes.ts";
import { isHere, isReached } from "../policy/free-testbeds.ts";
import { judgeFailure, recordDone, type SharedFault } from "../policy/health.ts";
import { limits } from "../policy/times-and-limits.ts";
import { listNames } from "../words/columns.ts";
import type { Instance } from "../words/domain.ts";
import type { End } from "../words/end-cause.ts";
import { reachAnew } from "./far-hosts.ts";
import { isAtFault, isOutdated, lookAtHost } from "./isolation.ts";
import { noteNow } from "./journal.ts";
import { type Factory, logFor } from "./memory.ts";
import { sectionOf } from "./reconfigure.ts";
import { clearStrikes, strike, takeBackStrike, testbedMemory } from "./testbed-memory.ts";

type Needs = Pick<Factory, "clock" | "config" | "hosts" | "known" | "log" | "openRunner" | "store">;

/** Looks at the testbed's host or service first. A fault that is found there is shown while it lasts, and the testbed gets no strike. */
export async function blame(factory: Needs, instance: Instance, end: End): Promise<void> {
  if (isOutdated(factory, instance)) return;
  const testbed = sectionOf(factory, instance);
  if (testbed !== undefined && isHere(testbed)) await lookAtHost(factory);
  if (testbed !== undefined && testbed.host !== null) await reachAnew(factory, testbed);
  // The board itself is still the job's, and is not to be recovered yet.
  const url = testbed?.spRunnerUrl ?? null;
  if (url !== null && !(await factory.openRunner(url).health()).ok) return;
  judge(factory, instance, end);
}

/** The same when its host was looked at just now. */
export function judge(factory: Needs, instance: Instance, end: End): void {
  const { known, clock, log } = factory;
  const { testbed } = instance;
  if (isAtFault(factory, testbed)) return;
  const place = placeOf(factory, instance);
  const failure = { testbed, place, cause: end.cause, atMs: clock.uptimeMs() };
  const { verdict, health } = judgeFailure(failure, known.labHealth, known.server);
  known.labHealth = health;
  const reason = endText(end);
  switch (verdict.kind) {
    case "strike":
      return strike(factory, testbed, reason);
    case "excused":
      wait(factory, testbed, clock.uptimeMs() + limits.strikeMs, `the server was away: ${reason}`);
      return logFor(factory, instance).info(
        `not held against the testbed, because the server was away: ${reason}`,
      );
    case "shared": {
      const { fault, isNew, takenBack } = verdict;
      const text = sharedText(fault, reason);
      for (const name of takenBack) takeBackStrike(factory, name, text);
      // One of them tries whether it is over: a job that is lost to each of them at once would say no more.
      for (const name of fault.testbeds)
        wait(factory, name, fault.untilMs + (name === testbed ? 0 : limits.sharedMs), text);
      if (!isNew) return;
      log.error(`${text}; none of them is quarantined for it`);
      const names = listNames(fault.testbeds, limits.instancesNamed);
      noteNow(factory, { what: "health", testbed: null, is: "shared fault", reason: `${names}: ${text}` });
    }
  }
}

/** A job was done on it. */
export function praise(factory: Needs, instance: Instance): void {
  const { known, clock, log } = factory;
  clearStrikes(factory, instance.testbed, "a job was done");
  testbedMemory(known, instance.testbed).rest = null;
  const { health, over } = recordDone(known.labHealth, placeOf(factory, instance), clock.uptimeMs());
  known.labHealth = health;
  for (const fault of over) {
    for (const name of fault.testbeds) testbedMemory(known, name).rest = null;
    const text = `what ${nameOf(fault)} share works again: a job was done on ${instance.testbed}`;
    log.info(text);
    noteNow(factory, { what: "health", testbed: null, is: "shared fault is over", reason: text });
  }
}

function placeOf(factory: Needs, instance: Instance): string {
  const { place } = instance;
  const testbed = sectionOf(factory, instance);
  if (testbed !== undefined && isReached(testbed)) return testbed.host ?? testbed.spRunnerUrl ?? "";
  return place.way === "ssh" ? place.ssh.host : "";
}

/** For people; the same for all of them, so that `status` shows it once. */
function sharedText(fault: SharedFault, reason: string): string {
  return `${nameOf(fault)} fail for one cause, so that it is taken for a fault of what they share: ${reason}`;
}

function nameOf({ place }: SharedFault): string {
  if (place === null) return "several testbeds";
  return `several testbeds of ${place === "" ? "this host" : place}`;
}

function wait({ known }: Needs, testbed: string, untilMs: number, reason: string): void {
  const record = testbedMemory(known, testbed);
  const { count = 0, untilMs: beforeMs = 0 } = record.rest ?? {};
  record.rest = { count, untilMs: Math.max(untilMs, beforeMs), reason };
}
