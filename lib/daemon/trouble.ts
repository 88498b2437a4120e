/**
 * Why no job is taken for a testbed: a fault of its host, its agent or its service, or what its check said. It is committed
 * for `status`, is no strike, and goes when a look finds it gone.
 */
import type { Testbed } from "../config/config.ts";
import type { Trouble } from "../words/domain.ts";
import { isReached } from "../policy/free-testbeds.ts";
import type { Factory } from "./memory.ts";
import { testbedMemory } from "./testbed-memory.ts";

type Needs = Pick<Factory, "clock" | "known" | "store">;

/** Commits what keeps jobs from each testbed, as the last looks found it. */
export function showTroubles(factory: Needs, testbeds: Iterable<Testbed>): void {
  const { known } = factory;
  const reasonOf = (testbed: Testbed): string | null => {
    const { reached, trouble, check } = testbedMemory(known, testbed.name);
    const fault = known.host?.faults.get(testbed.name);
    if (fault !== undefined) return fault;
    // What an earlier process said holds until then, and how often a board was told to recover.
    if (isReached(testbed) && reached === null) return trouble?.reason ?? null;
    const unreached = isReached(testbed) && reached?.ok === false ? reached.reason : null;
    return unreached ?? check?.fault ?? null;
  };
  commitTroubles(factory, new Map([...testbeds].map((testbed) => [testbed.name, reasonOf(testbed)])));
}

/** Null: nothing keeps jobs from it. In one transaction: a fault of this host can concern a thousand testbeds. */
export function commitTroubles(
  { known, store, clock }: Pick<Factory, "known" | "store" | "clock">,
  reasons: ReadonlyMap<string, string | null>,
): void {
  const changes = new Map<string, Trouble | null>();
  for (const [name, reason] of reasons) {
    const before = testbedMemory(known, name).trouble ?? undefined;
    if (before?.reason === (reason ?? undefined)) continue;
    changes.set(name, reason === null ? null : { sinceMs: clock.wallMs(), recoveries: 0, ...before, reason });
  }
  if (changes.size === 0) return;
  store.setTroubles(changes);
  for (const [name, trouble] of changes) {
    testbedMemory(known, name).trouble = trouble;
  }
}
