/** Testbeds' states as people and programs read them: a table, or one JSON document. */
import { alignColumns } from "../words/columns.ts";
import { showDuration } from "../words/duration.ts";
import { localTime, wrap } from "../words/log-line.ts";
import type { TestbedStatus } from "./testbed-states.ts";

export interface FactoryStatus {
  isRunning: boolean;
  database: string;
  /** Lines about the configuration. */
  remarks?: string[];
  testbeds: TestbedStatus[];
}

const titles = ["testbed", "type", "state", "since", "job", "waited", "ran", "reason"];

/**
 * Lines of a table. A testbed's note is on the line below it, and so is a reason that makes the line longer than `columns`;
 * null: there is no limit.
 */
export function statusTable(
  { isRunning, database, remarks = [], testbeds }: FactoryStatus,
  columns: number | null = null,
): string[] {
  const rows = testbeds.map((each) => [
    each.testbed,
    each.type ?? "",
    each.state,
    each.sinceMs === null ? "" : localTime(each.sinceMs),
    each.job ?? "",
    each.waitedMs === null ? "" : showDuration(each.waitedMs),
    each.ranMs === null ? "" : showDuration(each.ranMs),
    // Reasons may contain control characters that a job wrote.
    (each.reason ?? "").replaceAll(/\p{Cc}+/gu, " "),
  ]);
  const [header = "", ...lines] = alignColumns([titles, ...rows]);
  const isLong = lines.map((line) => columns !== null && Bun.stringWidth(line) > columns);
  const short = alignColumns([titles.slice(0, -1), ...rows.map((row) => row.slice(0, -1))]).slice(1);
  const below = (title: string, text: string): string[] =>
    text === ""
      ? []
      : wrap(`${title}: ${text}`, (columns ?? Infinity) - 4).map(
          (each, index) => `${index === 0 ? "  " : "    "}${each}`,
        );
  return [
    isRunning ? `The factory is running on ${database}` : `No factory is running on ${database}`,
    ...remarks,
    "",
    header,
    ...lines.flatMap((line, index) => [
      (isLong[index] === true ? short[index] : null) ?? line,
      ...below("reason", isLong[index] === true ? (rows[index]?.at(-1) ?? "") : ""),
      ...below("note", testbeds[index]?.note ?? ""),
    ]),
  ];
}

/** Times in ISO 8601. */
export function statusJson({ isRunning, database, remarks = [], testbeds }: FactoryStatus): string {
  return JSON.stringify(
    {
      factory: isRunning ? "running" : "not running",
      database,
      remarks,
      testbeds: testbeds.map(({ sinceMs, waitedMs, ranMs, ...each }) => ({
        ...each,
        since: sinceMs === null ? null : new Date(sinceMs).toISOString(),
        waited_ms: waitedMs,
        ran_ms: ranMs,
      })),
    },
    null,
    2,
  );
}
