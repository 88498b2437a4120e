/** Rows as the real bmat prints them: for people in columns of a fixed width, for programs with tabs. Pure. */

export interface Column {
  name: string;
  width: number;
  /** Shown where no columns are named. */
  isDefault: boolean;
}

/** A number is compared as one. */
export type Row = Record<string, string | number>;

export interface TableOptions {
  /** The columns to show, in order; null for the default ones. */
  shown: string[] | null;
  /** Columns to sort by, the first first; null for the rows' own order. */
  sort: { columns: string[]; isDescending: boolean } | null;
  /** Tabs, and no line of names. */
  isForPrograms: boolean;
}

/** `a, b` as it is written after a flag. */
export function readColumnNames(list: string): string[] {
  return list.split(",").map((name) => name.trim().toLowerCase());
}

export function showTable(
  columns: Column[],
  rows: Row[],
  { shown, sort, isForPrograms }: TableOptions,
): string {
  const chosen =
    shown === null
      ? columns.filter(({ isDefault }) => isDefault)
      : shown.flatMap((name) => columns.filter((column) => column.name === name));
  const sorted = sort === null ? rows : rows.toSorted((one, other) => compare(one, other, sort));
  const cells = sorted.map((row) => chosen.map(({ name }) => String(row[name] ?? "")));
  if (isForPrograms) {
    return cells.map((line) => `${line.map((cell) => cell.replaceAll("\t", " ")).join("\t")}\n`).join("");
  }
  const lines = [chosen.map(({ name }) => name.toUpperCase()), ...cells];
  return lines
    .map((line) => line.map((cell, at) => cell.padEnd(chosen[at]?.width ?? 0)).join(" "))
    .map((line) => `${line.trimEnd()}\n`)
    .join("");
}

function compare(one: Row, other: Row, sort: { columns: string[]; isDescending: boolean }): number {
  for (const name of sort.columns) {
    const [a, b] = [one[name] ?? "", other[name] ?? ""];
    if (a !== b) return a < b === sort.isDescending ? 1 : -1;
  }
  return 0;
}
