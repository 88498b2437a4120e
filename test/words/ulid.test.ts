import { expect, test } from "bun:test";
import type { Clock } from "../../lib/doors/clock.ts";
import { createUlids, isUlidStart, ulidMs } from "../../lib/words/ulid.ts";

test("ulidMs() is when the ULID was made", () => {
  const wallMs = 1_767_225_600_123;
  const next = createUlids({
    clock: { wallMs: () => wallMs } as Clock,
    random: { bytes: (count) => new Uint8Array(count), fraction: () => 0 },
  });
  expect(ulidMs(next())).toBe(wallMs);
  expect(ulidMs(next().toLowerCase())).toBe(wallMs);
  expect(ulidMs("7ZZZZZZZZZZZZZZZZZZZZZZZZZ")).toBe(2 ** 48 - 1);
});

test("ulidMs() of another text is null", () => {
  expect([ulidMs(""), ulidMs("job-a"), ulidMs("8ZZZZZZZZZZZZZZZZZZZZZZZZZ")]).toEqual([null, null, null]);
});

test("isUlidStart() is true of eight letters or more that a ULID can begin with", () => {
  const given = [
    "01HGYSTR",
    "01hgystryr",
    "01HGYSTRYRBS0DG7J6E22ZS3M7",
    "01HGYST",
    "update-all",
    "9ZZZZZZZZ",
  ];
  expect(given.map(isUlidStart)).toEqual([true, true, true, false, false, false]);
});
