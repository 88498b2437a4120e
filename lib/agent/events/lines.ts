/**
 * A job's output as events: bytes in, the texts of events out. Nothing is held but the line that is not ended yet, and of
 * that at most `longestEventBytes` bytes, however long it becomes (test/FAULTS.md F42).
 *
 * A line is one event, without its newline and its trailing white space. A longer line becomes several events, cut between
 * characters, which put together are the line. The same goes for text that was taken early because nothing followed it.
 */

import { longestEventBytes } from "./event-limits.ts";

export interface Lines {
  /** What the bytes complete, in order. */
  push(bytes: Uint8Array): Generator<string>;
  /** The text that waits for its newline, cut before a character that is not whole yet; for a stream that fell quiet. */
  takeQuiet(): Generator<string>;
  /** All that is left; for the stream's end. */
  end(): Generator<string>;
  /** Bytes that wait. */
  readonly waiting: number;
}

const newline = 0x0a;

export function createLines(): Lines {
  // U+FFFD for bytes that are not UTF-8; a byte order mark is text like any other.
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const held = new Uint8Array(longestEventBytes);
  let length = 0;
  /** An event has already been made of this line, so an empty rest of it is not a blank line. */
  let isContinued = false;

  function* finishLine(tail: Uint8Array): Generator<string> {
    let bytes = tail;
    if (length > 0) {
      held.set(tail, length);
      bytes = held.subarray(0, length + tail.length);
    }
    const text = trimEnd(decoder.decode(bytes));
    length = 0;
    if (text !== "" || !isContinued) yield* cut(text);
    isContinued = false;
  }

  function* takeHeld(count: number): Generator<string> {
    if (count === 0) return;
    const text = decoder.decode(held.subarray(0, count));
    held.copyWithin(0, count, length);
    length -= count;
    isContinued = true;
    yield* cut(text);
  }

  function* push(bytes: Uint8Array): Generator<string> {
    let start = 0;
    while (start < bytes.length) {
      const end = bytes.indexOf(newline, start);
      const stop = end === -1 ? bytes.length : end;
      while (length + stop - start > longestEventBytes) {
        const room = longestEventBytes - length;
        held.set(bytes.subarray(start, start + room), length);
        length = longestEventBytes;
        start += room;
        yield* takeHeld(wholeCharacters(held));
      }
      const rest = bytes.subarray(start, stop);
      if (end === -1) {
        held.set(rest, length);
        length += rest.length;
        return;
      }
      yield* finishLine(rest);
      start = end + 1;
    }
  }

  return {
    push,
    takeQuiet: () => takeHeld(wholeCharacters(held.subarray(0, length))),
    *end() {
      if (length > 0) yield* finishLine(new Uint8Array(0));
    },
    get waiting() {
      return length;
    },
  };
}

/** How many of the bytes come before a last character that lacks bytes; all of them if it is not UTF-8 anyway. */
function wholeCharacters(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back] as number;
    if (byte < 0x80) break;
    if (byte < 0xc0) continue;
    const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    return needed > back && byte < 0xf5 ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}

/** Undecodable bytes become three each, so that a piece can have grown: cut it again. */
function* cut(text: string): Generator<string> {
  if (text.length * 3 <= longestEventBytes || Buffer.byteLength(text) <= longestEventBytes) {
    yield text;
    return;
  }
  const most = Math.floor(longestEventBytes / 3);
  for (let start = 0; start < text.length;) {
    let stop = Math.min(start + most, text.length);
    if (stop < text.length && isHighSurrogate(text.charCodeAt(stop - 1))) stop -= 1;
    yield text.slice(start, stop);
    start = stop;
  }
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}

/** Without Unicode's white space at the end, as the real agent has it. A loop: a regular expression would take the square of the length. */
function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && isWhiteSpace(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(0, end);
}

function isWhiteSpace(unit: number): boolean {
  if (unit < 0x80) return unit === 0x20 || (unit >= 0x09 && unit <= 0x0d);
  if (unit >= 0x2000 && unit <= 0x200a) return true;
  return [0x85, 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000].includes(unit);
}
