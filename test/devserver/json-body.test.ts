import { describe, expect, test } from "bun:test";
import { z } from "zod";
import { optional, readJsonBody, text, time, u32 } from "../../lib/devserver/calls/json-body.ts";

const shape = z.object({
  name: text,
  at: optional(time),
  many: z.array(u32).default([]),
  env: z.record(text, text).default({}),
  inner: optional(z.object({ v: z.literal("1") })),
});

function read(body: string): unknown {
  try {
    return readJsonBody(body, shape);
  } catch (error) {
    return String(error);
  }
}

describe("readJsonBody()", () => {
  test("fills in absent fields, and ignores unknown ones and what follows the value", () => {
    const empty = { name: "a", at: null, many: [], env: {}, inner: null };
    expect(read('{"name":"a","x":[1,{"name":2}]} and more')).toEqual(empty);
    expect(read('{"name":"a","at":null,"inner":null}')).toEqual(empty);
  });

  test.each([
    ["2026-01-01T02:00:00.120+02:00", "2026-01-01T00:00:00.120Z"],
    ["2026-01-01T00:00:00.123456789Z", "2026-01-01T00:00:00.123456789Z"],
    ["2026-01-01T00:00:00.1000001z", "2026-01-01T00:00:00.100000100Z"],
    ["2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00Z"],
  ])("the time %s is %s", (given, expected) => {
    expect(read(JSON.stringify({ name: "a", at: given }))).toMatchObject({ at: expected });
  });

  test.each([
    ["", ""],
    ["{oops", ""],
    ['{"name":"a",}', ""],
    ["7", ""],
    ["{}", "name: "],
    ['{"name":null}', "name: "],
    ['{"name":"a","at":"2026-01-01T00:00:00"}', "at: not an RFC 3339 time with a zone"],
    ['{"name":"a","at":"2026-13-01T00:00:00Z"}', "at: not an RFC 3339 time with a zone"],
    ['{"name":"a","many":[1,-1]}', "many[1]: "],
    ['{"name":"a","many":[1.5]}', "many[0]: "],
    ['{"name":"a","many":[4294967296]}', "many[0]: "],
    ['{"name":"a","many":null}', "many: "],
    ['{"name":"a","env":[]}', "env: "],
    ['{"name":"a","env":{"K":true}}', "env.K: "],
    ['{"name":"a","inner":{"v":"2"}}', "inner.v: "],
  ])("%p is refused, and the message says where it is wrong", (body, place) => {
    expect(read(body)).toStartWith(`Error: unable to parse JSON body: ${place}`);
  });
});
