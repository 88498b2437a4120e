import { describe, expect, test } from "bun:test";
import {
  defaulted,
  listOf,
  mapOf,
  only,
  optional,
  readJsonBody,
  struct,
  text,
  time,
  truth,
  u32,
} from "../../lib/devserver/calls/json-body.ts";

const shape = struct("Thing", {
  name: text,
  at: optional(time),
  many: defaulted(listOf(u32), () => []),
  env: defaulted(mapOf(text), () => ({})),
  inner: optional(struct("Inner", { yes: truth, v: defaulted(only("1"), () => "1" as const) })),
});

function read(body: string): unknown {
  const result = readJsonBody(body, shape);
  return result.ok ? result.value : result.why;
}

describe("readJsonBody()", () => {
  test("fills in what may be absent, drops what is unknown, and ignores what follows the value", () => {
    expect(read('{"name":"a","x":[1,{"name":2}]} and more')).toEqual({
      name: "a",
      at: null,
      many: [],
      env: {},
      inner: null,
    });
  });

  test("takes a list as the fields in their order", () => {
    expect(read('["a","2026-01-01T02:00:00.120+02:00"]')).toMatchObject({
      name: "a",
      at: "2026-01-01T00:00:00.120Z",
    });
  });

  test.each([
    ["", "EOF while parsing a value at line 1 column 0"],
    ["{oops", "key must be a string at line 1 column 2"],
    ["{", "EOF while parsing an object at line 1 column 1"],
    ['{"name"', "EOF while parsing an object at line 1 column 7"],
    ['{"name" "a"}', "expected `:` at line 1 column 9"],
    ['{"name":"a",}', "trailing comma at line 1 column 13"],
    ['{"name":"a" "b"}', "expected `,` or `}` at line 1 column 13"],
    ['{"many":[1 2]}', "expected `,` or `]` at line 1 column 12"],
    ['{"name":nope}', "expected ident at line 1 column 10"],
    ['{"name":?}', "expected value at line 1 column 9"],
    ['{"name":"a', "EOF while parsing a string at line 1 column 10"],
    ["[1]", "[0]: invalid type: integer `1`, expected a string at line 1 column 2"],
    ["7", "invalid type: integer `7`, expected struct Thing at line 1 column 1"],
    ["{}", "missing field `name` at line 1 column 2"],
    ['{\n "name": 1}', "name: invalid type: integer `1`, expected a string at line 2 column 10"],
    ['{"name":null}', "name: invalid type: null, expected a string at line 1 column 12"],
    ['{"name":"é","at":"x"}', "at: input contains invalid characters at line 1 column 21"],
    ['{"name":"a","at":"2026-01-01T00:00:00"}', "at: premature end of input at line 1 column 38"],
    ['{"name":"a","many":[1,-1]}', "many[1]: invalid value: integer `-1`, expected u32 at line 1 column 24"],
    [
      '{"name":"a","many":[1.5]}',
      "many[0]: invalid type: floating point `1.5`, expected u32 at line 1 column 23",
    ],
    ['{"name":"a","many":null}', "many: invalid type: null, expected a sequence at line 1 column 23"],
    ['{"name":"a","env":[]}', "env: invalid type: sequence, expected a map at line 1 column 18"],
    [
      '{"name":"a","env":{"K":true}}',
      "env.K: invalid type: boolean `true`, expected a string at line 1 column 27",
    ],
    ['{"name":"a","inner":{}}', "inner: missing field `yes` at line 1 column 22"],
    [
      '{"name":"a","inner":{"yes":true,"v":"2"}}',
      "inner.v: unknown variant `2`, expected `1` at line 1 column 39",
    ],
  ])("%p is refused as the server does", (body, why) => {
    expect(read(body)).toBe(why);
  });
});
