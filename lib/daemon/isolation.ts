/**
 * Whether this host lets its instances have namespaces of their own: learnt before the first job is asked for, and anew
 * with each that is armed. What follows from it is plan-testbeds.ts's part.
 */
import type { Factory } from "./known.ts";

export async function probeHost(factory: Factory): Promise<void> {
  const { hosts, config, log } = factory;
  const host = await hosts.here.minder.probe();
  if (!host.ok) {
    log.warn(`cannot tell whether jobs can be isolated on this host: ${host.reason}`);
    return;
  }
  const isOff = config.general.isolate === "off";
  if (!isOff && host.isolation.kind === "refused") noteRefusal(factory, host.isolation.reason);
  const unshared = isOff || host.isolation.kind === "refused" ? host.unshared : null;
  const wrong = host.unusable ?? unshared;
  if (wrong !== null) log.error(`no job can run on this host as it is: ${wrong}`);
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
