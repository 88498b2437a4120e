/** Which testbeds are free, and for what. */
import type { Config, Testbed } from "../config/config.ts";
import { type Instance, instanceName, isOpen } from "../words/domain.ts";
import type { Intent } from "../words/intent.ts";
import { limits } from "./times-and-limits.ts";
import type { Observation, PendingLease } from "./observation.ts";

/** What the open instances use. Made once a pass: each testbed is then judged without going through all of them. */
export interface Taken {
  testbeds: ReadonlySet<string>;
  /** Hosts on which an agent may run; null is this one. */
  hosts: ReadonlySet<string | null>;
}

export function takenBy(instances: readonly Instance[]): Taken {
  const testbeds = new Set<string>();
  const hosts = new Set<string | null>();
  for (const { testbed, phase, place, isCleared } of instances) {
    if (!isOpen(phase)) continue;
    testbeds.add(testbed);
    // One that an operator cleared is stopped where it was.
    const isHere = place.way === "rust" ? place.at === "local" || isCleared : place.way === "local";
    if (isHere) hosts.add(null);
    if (place.way === "ssh") hosts.add(place.ssh.host);
  }
  return { testbeds, hosts };
}

/** What keeps jobs from a testbed: the word that `status` has for it, and the reason for people. */
export interface Obstacle {
  is:
    | "in use"
    | "disabled"
    | "not served"
    | "paused"
    | "reserved"
    | "quarantined"
    | "backing off"
    | "unreachable"
    | "unavailable";
  reason: string;
}

export const aloneOnHost: Obstacle = {
  is: "in use",
  reason: "without isolation one instance at a time runs on its host",
};

/** Why no job may be taken for a testbed now; null where one may. Its `check` is a matter of its own. */
export function whyNotFree(
  testbed: Testbed,
  seen: Observation,
  taken: Taken = takenBy(seen.instances),
): Obstacle | null {
  if (taken.testbeds.has(testbed.name)) return { is: "in use", reason: "a job has it" };
  if (!testbed.enabled) return { is: "disabled", reason: "enabled = false" };
  if (targetIds(testbed, seen.config).length === 0)
    return { is: "not served", reason: unservedText(testbed) };
  const intent = activeIntent(testbed.name, seen);
  if (intent !== null) return { is: intent.kind, reason: intentText(intent) };
  const health = seen.health.get(testbed.name);
  if (health !== undefined && health.retryAt.bootId === seen.now.bootId) {
    if (health.retryAt.uptimeMs > seen.now.uptimeMs)
      return { is: afterStrikes(health.strikes), reason: health.reason };
  }
  if (seen.untaken.has(testbed.name))
    return { is: "in use", reason: "an instance that is not in the database runs there" };
  const rest = seen.rests.get(testbed.name);
  if (rest !== undefined && rest.untilMs > seen.now.uptimeMs)
    return { is: "backing off", reason: rest.reason };
  // The locks of this host; without isolation there is one of all of it beside the testbeds' own.
  const locks = testbed.host === null ? [testbed.name, ...(isAlone(testbed, seen) ? [".host"] : [])] : [];
  const held = locks.find((name) => seen.elsewhere.has(name));
  if (held !== undefined) return { is: "in use", reason: `in use elsewhere: ${seen.elsewhere.get(held)}` };
  if (isAlone(testbed, seen) && taken.hosts.has(testbed.host)) {
    return aloneOnHost;
  }
  if (isHere(testbed)) {
    if (seen.host === null) return { is: "unavailable", reason: "this host has not been checked yet" };
    const fault = seen.host.faults.get(testbed.name);
    if (fault !== undefined) return { is: "unavailable", reason: fault };
  }
  if (isReached(testbed)) {
    const reached = seen.reached.get(testbed.name);
    if (reached === undefined) {
      return {
        is: "unreachable",
        reason: `${testbed.host ?? testbed.spRunnerUrl} has not been reached yet`,
      };
    }
    if (!reached.ok) return { is: reached.is ?? "unreachable", reason: reached.reason };
  }
  return null;
}

/** Why no job is asked for, whatever the testbeds do; null: jobs are asked for. */
export function whyNoLease({ mode, server, locksSeenMs }: Observation): {
  is: "draining" | "no server";
  reason: string;
} | null {
  if (mode === "drain") return { is: "draining", reason: "the factory drains: it takes nothing new" };
  if (mode === "hand over")
    return { is: "draining", reason: "another version of the factory takes over in a moment" };
  if (server.isTokenRefused) return { is: "no server", reason: "the server refuses the factory's token" };
  // Before the first list and the first look at the locks, a testbed may be in use without our knowing.
  if (server.list === null) return { is: "no server", reason: "the server has not answered yet" };
  if (locksSeenMs === null)
    return { is: "no server", reason: "the testbeds' locks have not been looked at yet" };
  return null;
}

/** Why no job comes although one is asked for: the last answer was none. Null: jobs come. */
export function whyNoAnswer(seen: Observation): { is: "no server" | "unavailable"; reason: string } | null {
  const { server, failures, retryAtMs, now, isStoreFailing } = seen;
  // As the actions are called.
  const failure = failures.get("lease")?.message ?? null;
  if (isStoreFailing) return { is: "unavailable", reason: failure ?? "the database cannot be written" };
  if (server.answeringSinceMs === null || server.retryAtMs > now.uptimeMs) {
    const said = failures.get("server")?.message ?? failure;
    return { is: "no server", reason: `the server does not answer${said === null ? "" : `: ${said}`}` };
  }
  if (!failures.has("lease") && (retryAtMs.get("lease") ?? 0) <= now.uptimeMs) return null;
  return { is: "no server", reason: failure ?? "the server was asked for a job in vain" };
}

/** What an operator wants of a testbed now; null: nothing. */
export function activeIntent(testbed: string, { intents, now }: Observation): Intent | null {
  const intent = intents.get(testbed);
  if (intent === undefined || intent.isAfterJob) return null;
  return intent.until === null || intent.until.at.uptimeMs > now.uptimeMs ? intent : null;
}

export function intentText({ kind, who, note }: Pick<Intent, "kind" | "who" | "note">): string {
  return `${kind} by ${who}${note === "" ? "" : `: ${note}`}`;
}

export function unservedText({ targets }: Pick<Testbed, "targets">): string {
  return `no \`id\` in the section of its target ${targets.join(", ")}`;
}

/** Whether it hangs on something else than this host, which must answer before a job is taken. */
export function isReached({ host, spRunnerUrl }: Pick<Testbed, "host" | "spRunnerUrl">): boolean {
  return host !== null || spRunnerUrl !== null;
}

/** Whether its agents run on this host, also those that hand their jobs to a service. */
export function isHere({ host }: Testbed): boolean {
  return host === null;
}

/** Whether its jobs run on this host, by its own means. */
export function usesThisHost(testbed: Testbed): boolean {
  return testbed.enabled && !isReached(testbed);
}

/** Whether its instances share their host with no other one. A service's job uses none of the host. */
export function isAlone(
  { name, host, spRunnerUrl }: Testbed,
  { config, refusal, alone }: Pick<Observation, "config" | "refusal" | "alone">,
): boolean {
  if (spRunnerUrl !== null) return false;
  if (config.general.isolate === "off") return true;
  return host === null ? refusal !== null : alone.has(name);
}

/** Until when no job may be taken for it: the lab failed on it, a lease came to nothing, or an operator wants it so. */
export function notBeforeMs({ name }: Testbed, { health, rests, intents, now }: Observation): number {
  const retryAt = health.get(name)?.retryAt;
  const healthyMs = retryAt?.bootId === now.bootId ? retryAt.uptimeMs : 0;
  return Math.max(healthyMs, rests.get(name)?.untilMs ?? 0, intents.get(name)?.until?.at.uptimeMs ?? 0);
}

/** Why its own check keeps jobs away; null where it succeeded when it was last run, and where it has none. */
export function whyNotChecked({ name, check }: Testbed, { checks }: Observation): Obstacle | null {
  if (check === null) return null;
  const last = checks.get(name);
  if (last === undefined) return { is: "unavailable", reason: "its check has not been run yet" };
  return last.fault === null ? null : { is: "unavailable", reason: last.fault };
}

/** Why no step of it could begin now; null: one could. */
export function whyNotReady(
  { name }: Testbed,
  { busy, retryAtMs, failures, now }: Observation,
): Obstacle | null {
  const key = `testbed ${name}`;
  if (busy.has(key)) return { is: "in use", reason: "the last step of its job is under way" };
  if ((retryAtMs.get(key) ?? 0) <= now.uptimeMs) return null;
  return {
    is: "backing off",
    reason: failures.get(key)?.message ?? "its last step is tried again in a moment",
  };
}

/** Whether its check must still succeed before the instance's worker is made: what it said before the lease is old. */
export function wantsCheck(instance: Instance, { config, checks }: Observation): boolean {
  const testbed = config.testbeds.find(({ name }) => name === instance.testbed);
  if (testbed === undefined || testbed.check === null) return false;
  const check = checks.get(testbed.name);
  return check?.instance !== instanceName(instance) || check.fault !== null;
}

/** Whether a leased job can be given to it. */
export function canServe(
  testbed: Testbed,
  lease: PendingLease,
  { config, meant }: Pick<Observation, "config" | "meant">,
): boolean {
  const only = meant.get(lease.job);
  if (only !== undefined && only !== testbed.name) return false;
  return !lease.tried.includes(testbed.name) && targetIds(testbed, config).includes(lease.target);
}

/** What a testbed is called that takes no job after so many failures in a row. */
export function afterStrikes(strikes: number): "quarantined" | "backing off" {
  return strikes >= limits.quarantineStrikes ? "quarantined" : "backing off";
}

/** ULIDs of a testbed's targets; a target without one cannot be asked for. */
export function targetIds(testbed: Served, config: Pick<Config, "targets">): string[] {
  return servedTargets(testbed, config).map(({ id }) => id);
}

type Served = Pick<Testbed, "targets">;

/** Those that jobs can be asked for. */
export function servedTargets(
  testbed: Served,
  { targets }: Pick<Config, "targets">,
): { name: string; id: string }[] {
  return targets.flatMap(({ name, id }) =>
    id === null || !testbed.targets.includes(name) ? [] : [{ name, id }],
  );
}

/** Whether the testbed, as it is configured today, may run the instance's job. */
export function stillServes({ testbed, target }: Instance, config: Config): boolean {
  const configured = config.testbeds.find(({ name }) => name === testbed);
  return configured !== undefined && configured.enabled && targetIds(configured, config).includes(target);
}
