import { expect, test } from "bun:test";
import { parseBytes, parseDurationMs } from "../../lib/words/duration.ts";

const durations: [text: string, ms: number | null][] = [
  ["500ms", 500],
  ["90s", 90_000],
  ["5m", 300_000],
  ["2h", 7_200_000],
  ["1d", 86_400_000],
  ["1.5h", 5_400_000],
  [" 10 s ", 10_000],
  ["0s", 0],
  ["0.4ms", 0],
  ["", null],
  ["90", null],
  ["s", null],
  ["90S", null],
  ["1h30m", null],
  ["-1s", null],
  ["1e3s", null],
  ["1,5s", null],
  [".5s", null],
  ["1  s", null],
  ["1 toString", null],
  ["999999999999999d", null],
  ["9999999999999999s", null],
];
test.each(durations)("parseDurationMs(%j) is %p", (text, ms) => {
  expect(parseDurationMs(text)).toBe(ms);
});

const sizes: [text: string, bytes: number | null][] = [
  ["10GB", 10_000_000_000],
  ["500MB", 500_000_000],
  ["1.5 kB", 1500],
  ["1KB", 1000],
  ["4GiB", 4_294_967_296],
  ["0B", 0],
  ["1TB", 1_000_000_000_000],
  ["10", null],
  ["10gb", null],
  ["10G", null],
  ["10 Gb", null],
  ["9999999999TiB", null],
];
test.each(sizes)("parseBytes(%j) is %p", (text, bytes) => {
  expect(parseBytes(text)).toBe(bytes);
});
