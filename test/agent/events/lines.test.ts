import { describe, expect, test } from "bun:test";
import { longestEventBytes } from "../../../lib/agent/events/event-limits.ts";
import { createLines } from "../../../lib/agent/events/lines.ts";

/** Feeds the bytes in parts of `step` bytes. */
function frame(bytes: Uint8Array, step = bytes.length): string[] {
  const lines = createLines();
  const pieces: string[] = [];
  for (let start = 0; start < bytes.length; start += step) {
    pieces.push(...lines.push(bytes.subarray(start, start + step)));
  }
  return [...pieces, ...lines.end()];
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("createLines()", () => {
  test.each([
    ["ends lines at newlines", "a\nb\n", ["a", "b"]],
    ["gives a last line without newline", "a\nb", ["a", "b"]],
    ["keeps blank lines", "\n\na\n\n", ["", "", "a", ""]],
    ["says nothing for no bytes", "", []],
    ["keeps leading white space", "  \ta\n", ["  \ta"]],
    ["drops trailing white space, Unicode's too", "a \t\r\u00a0\u3000\u0085\u2028\n", ["a"]],
    ["keeps what Rust does not call white space", "a\ufeff\u200b\n", ["a\ufeff\u200b"]],
    ["keeps a byte order mark", "\ufeffa\n", ["\ufeffa"]],
    ["keeps carriage returns and NULs within", "10%\r20%\0x\n", ["10%\r20%\0x"]],
    ["keeps escape sequences", "\u001b[31mred\u001b[0m\n", ["\u001b[31mred\u001b[0m"]],
  ])("%s", (_, text, pieces) => {
    expect(frame(utf8(text))).toEqual(pieces);
    expect(frame(utf8(text), 1)).toEqual(pieces);
  });

  test("F42 bytes that are not UTF-8 become U+FFFD, wherever the output is cut", () => {
    const bytes = Buffer.concat([Buffer.from([0xff, 0x41, 0xe2, 0x82]), utf8("€\n"), Buffer.from([0xc3])]);
    for (const step of [1, 2, 3, 5, bytes.length]) {
      expect(frame(bytes, step)).toEqual(["\ufffdA\ufffd€", "\ufffd"]);
    }
  });

  test.each([1, 7, 4096, 65_536, 65_537, 1_000_000])(
    "F42 cuts a long line between characters, whole when put together (parts of %i bytes)",
    (step) => {
      const line = "añ€😀".repeat(20_000);
      const pieces = frame(utf8(`${line}\nnext\n`), step);
      expect(pieces.pop()).toBe("next");
      expect(pieces.join("")).toBe(line);
      expect(Math.max(...pieces.map((piece) => Buffer.byteLength(piece)))).toBeLessThanOrEqual(
        longestEventBytes,
      );
      expect(pieces.length).toBeLessThan(6);
    },
  );

  test("a line of exactly the largest event is one event", () => {
    expect(frame(utf8(`${"x".repeat(longestEventBytes)}\ny\n`)).map(({ length }) => length)).toEqual([
      longestEventBytes,
      1,
    ]);
    expect(frame(utf8(`${"x".repeat(longestEventBytes + 1)}\n`)).map(({ length }) => length)).toEqual([
      longestEventBytes,
      1,
    ]);
  });

  test("undecodable bytes grow and still fit an event", () => {
    const line = new Uint8Array(200_000).fill(0xff);
    line[60_000] = 0x0a;
    const pieces = frame(line);
    expect(pieces.join("")).toBe("\ufffd".repeat(199_999));
    expect(Math.max(...pieces.map((piece) => Buffer.byteLength(piece)))).toBeLessThanOrEqual(
      longestEventBytes,
    );
  });

  test("text that has grown is cut between characters too", () => {
    const most = Math.floor(longestEventBytes / 3);
    for (const before of [most - 2, most - 1, most]) {
      const line = Buffer.concat([
        Buffer.alloc(before, 0xff),
        utf8("🦊"),
        Buffer.alloc(9000, 0xff),
        utf8("\n"),
      ]);
      const pieces = frame(line);
      expect(pieces.join("")).toBe(`${"\ufffd".repeat(before)}🦊${"\ufffd".repeat(9000)}`);
      expect(pieces.every((piece) => piece.isWellFormed())).toBe(true);
    }
  });

  test("a long run of white space takes linear time", () => {
    const startedMs = performance.now();
    const pieces = frame(utf8(`${" ".repeat(4_000_000)}x\n`), 65_536);
    expect(pieces.join("")).toHaveLength(4_000_001);
    expect(performance.now() - startedMs).toBeLessThan(2000);
  });

  test("F42 of a line that never ends only the largest event is held in memory", () => {
    const lines = createLines();
    const part = new Uint8Array(1024 * 1024).fill(0x61);
    let bytes = 0;
    for (let count = 0; count < 64; count += 1) {
      for (const piece of lines.push(part)) bytes += piece.length;
      expect(lines.waiting).toBeLessThanOrEqual(longestEventBytes);
    }
    expect(bytes + lines.waiting).toBe(64 * part.length);
  });

  test("takeQuiet() gives what waits, but not half a character, and then the rest of the line", () => {
    const lines = createLines();
    expect([...lines.push(utf8("Password: "))]).toEqual([]);
    expect([...lines.takeQuiet()]).toEqual(["Password: "]);
    expect([...lines.takeQuiet()]).toEqual([]);
    expect([...lines.push(Buffer.from([0xe2, 0x82]))]).toEqual([]);
    expect([...lines.takeQuiet()]).toEqual([]);
    expect([...lines.push(Buffer.from([0xac, 0x0a]))]).toEqual(["€"]);
  });

  test("takeQuiet() leaves no blank line behind when only the newline was missing", () => {
    const lines = createLines();
    expect([...lines.push(utf8("abc")), ...lines.takeQuiet(), ...lines.push(utf8("\n\nd\n"))]).toEqual([
      "abc",
      "",
      "d",
    ]);
  });
});
