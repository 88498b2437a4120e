/**
 * Whether a host lets its instances have namespaces of their own: learnt of this one before the first job is asked
 * for, and of each anew with each instance that is armed. What follows from it is plan-testbeds.ts's part.
 */
import type { HostView } from "../minder/replies.ts";
import { usesThisHost } from "../plan-testbeds.ts";
import type { Factory } from "./known.ts";

export async function probeHost(factory: Factory): Promise<void> {
  const { hosts, config, log } = factory;
  const host = await hosts.here.minder.probe();
  if (!host.ok) {
    log.warn(`cannot tell whether jobs can be isolated on this host: ${host.reason}`);
    return;
  }
  if (config.general.isolate !== "off" && host.isolation.kind === "refused")
    noteRefusal(factory, host.isolation.reason);
  const wrong = config.testbeds.some(usesThisHost) ? whyUnusable(factory, host) : host.unusable;
  if (wrong !== null) log.error(`no job can run on this host as it is: ${wrong}`);
}

/** Why no instance can be armed on a host; null: one can. One that is not isolated wants the host's own /work, too. */
export function whyUnusable({ config }: Factory, { unusable, unshared, isolation }: HostView): string | null {
  const isAlone = config.general.isolate === "off" || isolation.kind === "refused";
  return unusable ?? (isAlone ? unshared : null);
}

/** Told when it changes: the reason itself may name an instance's directory. */
export function noteRefusal({ known, log }: Factory, refusal: string | null): void {
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
export function noteAlone({ known, log }: Factory, testbed: string, refusal: string | null): void {
  if (refusal === null) known.alone.delete(testbed);
  else if (!known.alone.has(testbed)) {
    known.alone.add(testbed);
    log.warn(`jobs cannot be isolated on its host, so one at a time runs there: ${refusal}`, { testbed });
  }
}
