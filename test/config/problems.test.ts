import { expect, test } from "bun:test";
import { keyText, nearestWord, showValue } from "../../lib/config/problems.ts";

const words = ["host", "host_key", "ssh_port", "sp_type", "targets", "enabled"];
const near: [word: string, nearest: string | null][] = [
  ["hots", "host"],
  ["Host", "host"],
  ["hostkey", "host_key"],
  ["target", "targets"],
  ["enable", "enabled"],
  ["port", null],
  ["x", null],
  ["", null],
  ["completely_different", null],
  [`host${"t".repeat(100)}`, null],
];
test.each(near)("nearestWord() to %j is %p", (word, nearest) => {
  expect(nearestWord(word, words)).toBe(nearest);
});

test("showValue() cuts long texts and escapes control characters of terminals", () => {
  expect(showValue("a".repeat(100))).toBe(`"${"a".repeat(80)}..."`);
  expect(showValue("\u001b[2J\u202e\u009b\u{e9}")).toBe(`"\\u001b[2J\\u202e\\u009bé"`);
  expect(showValue(7)).toBe("7");
  expect(showValue([1])).toBe("an array");
});

test("keyText() quotes the parts of a key that TOML does not accept bare", () => {
  expect(keyText(["testbed", "a b", "targets", 1])).toBe('testbed."a b".targets[1]');
  expect(keyText(["testbed", 'x".y'])).toBe('testbed."x\\".y"');
});
