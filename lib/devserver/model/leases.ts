/** Which factory may create a worker for a job: a promise for 60 s that nothing enforces (lib/devserver/README.md "Leases"). */
import type { FactoryRecord, JobRecord, State, TargetRecord } from "./state.ts";

export const leaseMs = 60_000;

/** The oldest job for one of the targets that has no lease, not even this factory's; null: there is none. */
export function takeLease(
  state: State,
  factory: FactoryRecord,
  targets: Set<string>,
): { target: TargetRecord; job: JobRecord } | null {
  if (!factory.isEnabled || state.isOnHold) return null;
  for (const job of state.unassignedJobs) {
    if (job.isWaiting || job.isCancelled || !targets.has(job.target.id) || state.leases.has(job)) continue;
    state.leases.set(job, { factory, expiresUptimeMs: state.now().uptimeMs + leaseMs });
    return { target: job.target, job };
  }
  return null;
}

/** True if the lease is the factory's and was not dropped yet, even if it has ended. */
export function renewLease(state: State, factory: FactoryRecord, job: JobRecord | undefined): boolean {
  const lease = job === undefined ? undefined : state.leases.get(job);
  if (lease?.factory !== factory) return false;
  lease.expiresUptimeMs = state.now().uptimeMs + leaseMs;
  return true;
}

/** Drops leases that have ended or are no longer needed. */
export function dropLeases(state: State): void {
  const { uptimeMs } = state.now();
  for (const [job, lease] of state.leases) {
    const isOver = job.worker !== null || job.isCancelled || job.isComplete;
    if (isOver || lease.expiresUptimeMs <= uptimeMs) state.leases.delete(job);
  }
}
