import { expect, test } from "bun:test";
import { alignColumns } from "../../lib/words/columns.ts";

test("alignColumns() makes each column as wide as its widest cell appears on a terminal", () => {
  const rows = [["a", "bb", ""], ["日本", "", "c"], ["ab"]];
  expect(alignColumns(rows)).toEqual(["a     bb", "日本      c", "ab"]);
  expect(alignColumns([])).toEqual([]);
});
