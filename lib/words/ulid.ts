/**
 * ULIDs as the server accepts and prints them: 48 bits of milliseconds and 80 random bits in 26 characters
 * (lib/devserver/README.md "Conventions").
 */
import type { Clock } from "../doors/clock.ts";
import type { Random } from "../doors/random.ts";

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** The ULID in upper case, with `I` and `L` read as 1 and `O` as 0; null if the text is not a ULID. */
export function parseUlid(text: string): string | null {
  const upper = text.toUpperCase().replace(/[IL]/g, "1").replace(/O/g, "0");
  return /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(upper) ? upper : null;
}

/** Whether it can be the beginning of a ULID, long enough to be meant as one. */
export function isUlidStart(text: string): boolean {
  return text.length >= 8 && /^[0-7][0-9A-HJKMNP-TV-Z]{7,25}$/i.test(text);
}

/** The wall-clock ms in a ULID: when it was made. Null if the text is not a ULID. */
export function ulidMs(text: string): number | null {
  const ulid = parseUlid(text);
  if (ulid === null) return null;
  return Array.from(ulid.slice(0, 10)).reduce((sum, digit) => sum * 32 + alphabet.indexOf(digit), 0);
}

/** Returns a function that makes ULIDs, each greater than the one before, even within one millisecond. */
export function createUlids({ clock, random }: { clock: Clock; random: Random }): () => string {
  let last = 0n;
  return () => {
    const chance = random.bytes(10).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
    const fresh = (BigInt(clock.wallMs()) << 80n) | chance;
    last = fresh > last ? fresh : last + 1n;
    let text = "";
    for (let shift = 125n; shift >= 0n; shift -= 5n) text += alphabet[Number((last >> shift) & 31n)];
    return text;
  };
}
