/** The journal's last day in memory. */
import { expect, test } from "bun:test";
import { Day } from "../../../lib/web/page/day.ts";
import type { JournalQuery, Recorded } from "../../../lib/words/journal.ts";
import { createSettableClock } from "../../lab/settable-clock.ts";

const minute = 60_000;

/** An entry a minute from `fromMs` on, for one testbed and then for the other. */
function journalOf(count: number, fromMs: number): Recorded[] {
  return Array.from({ length: count }, (_, index) => ({
    id: index + 1,
    atMs: fromMs + index * minute,
    entry: { what: "health", testbed: index % 2 === 0 ? "a" : "b", is: "strike", reason: "" },
  }));
}

function open(journal: Recorded[], wallMs: number) {
  const clock = createSettableClock({ wallMs });
  const asked: number[] = [];
  const day = new Day(({ sinceMs = 0, beforeId = Infinity, most }: JournalQuery) => {
    const found = journal.filter(({ id, atMs }) => atMs >= sinceMs && id < beforeId).slice(-most);
    asked.push(found.length);
    return found;
  });
  const refresh = async (): Promise<void> => {
    let isDone = false;
    const refreshed = day.refresh(clock).then(() => void (isDone = true));
    while (!isDone) await clock.advance(1);
    await refreshed;
  };
  return { clock, day, refresh, asked };
}

test("a day is read in slices, and after that only what is new", async () => {
  const journal = journalOf(1200, 0);
  const { day, refresh, asked } = open(journal, 1200 * minute);
  await refresh();
  expect(asked).toEqual([500, 500, 200]);
  expect(day.of("a")).toHaveLength(600);
  journal.push({ ...journal[0]!, id: 1201, atMs: 1200 * minute });
  await refresh();
  expect(asked.slice(3)).toEqual([2]);
  expect(day.of("a").at(-1)!.id).toBe(1201);
  expect(day.of("b")).toHaveLength(600);
});

test("what is new may be many slices, after nobody has looked for long", async () => {
  const journal = journalOf(100, 0);
  const { day, refresh } = open(journal, 1300 * minute);
  await refresh();
  journal.push(...journalOf(1300, 0).slice(100));
  await refresh();
  expect(day.of("a")).toHaveLength(650);
});

test("what is older than a day is forgotten", async () => {
  const { clock, day, refresh } = open(journalOf(10, 0), 10 * minute);
  await refresh();
  expect(day.of("a")).toHaveLength(5);
  await clock.advance(1440 * minute - 4.5 * minute);
  await refresh();
  expect(day.of("a").map(({ id }) => id)).toEqual([7, 9]);
});
