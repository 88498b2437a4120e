/**
 * Why no job is taken for a testbed: a fault of its host, its agent or its service, or what its check said. It is committed
 * for `status`, is no strike, and goes when a look finds it gone.
 */
import type { Testbed } from "../config/config.ts";
import { listNames } from "../words/columns.ts";
import { limits } from "../policy/times-and-limits.ts";
import type { Trouble } from "../words/domain.ts";
import type { Entry } from "../words/journal.ts";
import { notedNow } from "./journal.ts";
import { isReached } from "../policy/free-testbeds.ts";
import type { Factory } from "./memory.ts";
import { testbedMemory, type TestbedRecords } from "./testbed-memory.ts";

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
  store.setTroubles(changes, notedNow({ clock }, entriesOf(known, changes)));
  for (const [name, trouble] of changes) {
    testbedMemory(known, name).trouble = trouble;
  }
}

/** One entry for each fault that begins or ends; testbeds with the same fault share it. A fault in which only a number changed gets none. */
function entriesOf({ testbeds }: TestbedRecords, changes: ReadonlyMap<string, Trouble | null>): Entry[] {
  const uncounted = (text: string): string => text.replace(/\d+/g, "");
  const news = [...changes].flatMap(([testbed, trouble]) => {
    const before = testbeds.get(testbed)?.trouble ?? null;
    if (trouble === null)
      return before === null ? [] : [{ testbed, is: "trouble over", reason: before.reason }];
    if (before !== null && uncounted(before.reason) === uncounted(trouble.reason)) return [];
    return [{ testbed, is: "trouble", reason: trouble.reason }];
  });
  return [...Map.groupBy(news, ({ is, reason }) => JSON.stringify([is, reason])).values()].flatMap(
    ([first, ...others]): Entry[] => {
      if (first === undefined) return [];
      if (others.length === 0) return [{ what: "health", ...first }];
      const names = [first, ...others].map(({ testbed }) => testbed);
      const reason = `${first.reason} (${listNames(names, limits.instancesNamed)})`;
      return [{ what: "health", testbed: null, is: first.is, reason }];
    },
  );
}
