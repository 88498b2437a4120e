/**
 * What a host has for jobs, seen before a job is asked for: whether anything can run there, and whether its instances can
 * have namespaces of their own. What follows from it is free-testbeds.ts's part.
 */
import type { Testbed } from "../config/config.ts";
import { directoryName, type Instance } from "../words/domain.ts";
import type { HostView } from "../hosts/minder/minder-answer.ts";
import { isHere, isReached } from "../policy/free-testbeds.ts";
import { isPassing } from "../store/store.ts";
import { inOne, judgeRoom } from "../hosts/work-directory.ts";
import { done, type Outcome } from "./outcome.ts";
import { showTroubles } from "./trouble.ts";
import { limits } from "../policy/times-and-limits.ts";
import { memoryOf } from "./instance-memory.ts";
import type { Factory } from "./memory.ts";
import { nextSeq, testbedMemory } from "./testbed-memory.ts";

type Needs = Pick<Factory, "clock" | "config" | "hosts" | "known" | "log" | "store">;

/** One look for this host, not one for each of its testbeds. */
export async function lookAtHost(factory: Needs): Promise<Outcome> {
  const { known, config } = factory;
  // Many instances may fail at once.
  known.hostLook ??= learnHost(factory).finally(() => {
    known.hostLook = null;
  });
  await known.hostLook;
  showTroubles(factory, config.testbeds.filter(isHere));
  return done;
}

/** Nothing can be begun on this host, and no look is needed to know why. The next look shows whether that is still so. */
export function blockHost(factory: Needs, fault: string): void {
  const testbeds = factory.config.testbeds.filter((testbed) => testbed.enabled && isHere(testbed));
  const faults = new Map(testbeds.map(({ name }) => [name, fault] as const));
  factory.known.host = { atMs: Number.NEGATIVE_INFINITY, fault, faults };
  try {
    showTroubles(factory, testbeds);
  } catch (error) {
    // A full disk may be the fault itself; the next look shows it.
    if (!isPassing(error)) throw error;
  }
}

async function learnHost(factory: Needs): Promise<void> {
  const { hosts, config, known, clock } = factory;
  const { workDirectory } = hosts.here;
  const testbeds = config.testbeds.filter((testbed) => testbed.enabled && isHere(testbed));
  // A service's tests are run by the built-in agent, whatever is configured.
  const agentOf = (testbed: Testbed): string =>
    (isReached(testbed) ? hosts.builtIn : hosts.here.agent).argv[0] ?? "";
  const agents = [...new Set(testbeds.map(agentOf))];
  const { kind, argv } = hosts.here.agent;
  const external = kind === "external" ? argv[0] : undefined;
  const { isolate } = config.general;
  const probed = await hosts.here.minder.probe(agents, { external, isolate });
  const faults = new Map<string, string>();
  const shared = new Set<string>();
  for (const testbed of testbeds) {
    const need = {
      usesHost: !isReached(testbed),
      agent: agents.indexOf(agentOf(testbed)),
      workDirectory,
      setting: "general.work_dir",
    };
    const fault = probed.ok
      ? whyUnusable(factory, probed, need)
      : `this host cannot be looked at: ${probed.reason}`;
    if (fault !== null) shared.add(fault);
    const reason = fault ?? whyTooLong(factory, testbed);
    if (reason !== null) faults.set(testbed.name, reason);
  }
  if (probed.ok && probed.unusable === null && probed.isolation.kind === "refused") {
    if (config.general.isolate !== "off") recordRefusal(factory, probed.isolation.reason);
  }
  const fault = shared.size === 0 ? null : [...shared].join("; ");
  if (known.outdated.has(config)) return;
  logFaults(factory, fault, faults);
  known.host = { atMs: clock.uptimeMs(), fault, faults };
}

/** Each fault once, and once when it is over. */
function logFaults({ known, log }: Needs, fault: string | null, faults: ReadonlyMap<string, string>): void {
  const former = known.host ?? known.formerHost;
  const before = former?.fault ?? null;
  // Only the room that is left may differ with each look.
  const sense = (text: string | null): string | undefined => text?.replace(/\d+/g, "");
  if (fault !== null && sense(fault) !== sense(before)) log.error(`no job can run on this host: ${fault}`);
  if (fault === null && before !== null) log.info("jobs can run on this host again");
  if (fault !== null) return;
  for (const [testbed, reason] of faults) {
    if (former?.faults.get(testbed) !== reason) log.error(`no job can run here: ${reason}`, { testbed });
  }
}

/** Of one testbed's instances, by its name: a shorter one may do. */
function whyTooLong(factory: Needs, { name: testbed }: Testbed): string | null {
  const { workDirectory } = factory.hosts.here;
  const pathOf = (seq: number): string =>
    `${workDirectory}/${directoryName({ testbed, seq })}/opt/run/buildomat.sock`;
  // Far from it, as nearly all are, the database need not be asked.
  if (Buffer.byteLength(pathOf(Number.MAX_SAFE_INTEGER)) <= limits.socketPathBytes) return null;
  const path = pathOf(nextSeq(factory, testbed));
  if (Buffer.byteLength(path) <= limits.socketPathBytes) return null;
  return `the path ${path} is longer than a socket's may be (${limits.socketPathBytes} bytes); choose a shorter general.work_dir`;
}

/**
 * Why no instance can be armed on a host; null: one can. `usesHost`: without isolation it uses the host's own /work and /input;
 * `agent`: which of those that the probe was asked about; `setting` names the work directory in the configuration.
 */
export function whyUnusable(
  { config }: Pick<Factory, "config">,
  { unusable, unshared, isolation, freeBytes, agentFaults }: HostView,
  {
    usesHost,
    agent,
    workDirectory,
    setting,
  }: { usesHost: boolean; agent: number; workDirectory: string; setting: string },
): string | null {
  const isAlone = usesHost && (config.general.isolate === "off" || isolation.kind === "refused");
  const room = freeBytes === null ? null : judgeRoom(freeBytes, workDirectory, setting);
  return (
    unusable ??
    (isAlone ? unshared : null) ??
    (room?.is === "too little" ? inOne(room) : null) ??
    agentFaults[agent] ??
    null
  );
}

/** Whether it was begun by another section than its testbed has today: what it failed on says nothing of that. */
export function isOutdated({ known }: Pick<Factory, "known">, instance: Instance): boolean {
  return memoryOf(known, instance).section !== null;
}

/** Whether the last look found a fault of a testbed's host, agent or service. */
export function isAtFault({ known }: Pick<Factory, "known">, testbed: string): boolean {
  return known.host?.faults.has(testbed) === true || known.testbeds.get(testbed)?.reached?.ok === false;
}

/** Logged only when isolation is refused or possible again: the reason may name an instance's directory, and differ each time. */
export function recordRefusal({ known, log }: Pick<Factory, "known" | "log">, refusal: string | null): void {
  if (refusal !== null && known.refusal === null) {
    log.warn(
      `jobs cannot be isolated on this host, so one at a time runs here, with the host's own /work and /input: ${refusal}`,
    );
  } else if (refusal === null && known.refusal !== null) {
    log.info("jobs are isolated on this host again");
  }
  known.refusal = refusal;
}

/** Of a testbed's host that is not this one: the next job waits until it is alone there. */
export function recordAlone(
  { known, log }: Pick<Factory, "known" | "log">,
  instance: Instance,
  refusal: string | null,
): void {
  if (isOutdated({ known }, instance)) return;
  const { testbed } = instance;
  const record = testbedMemory(known, testbed);
  const isNew = refusal !== null && !record.isAlone;
  record.isAlone = refusal !== null;
  if (isNew) {
    log.warn(`jobs cannot be isolated on its host, so one at a time runs there: ${refusal}`, { testbed });
  }
}
