/** The forms of values in the configuration file: what each accepts, and how a mistake in it is fixed. */
import { z } from "zod";
import { nearestWord, showValue } from "./problems.ts";
import { parseBytes, parseDurationMs } from "../words/duration.ts";
import { parseUlid } from "../words/ulid.ts";

/** The boards that the lab's hardware tests support. */
export const spTypes = ["gimlet", "grapefruit", "sidecar", "psc"] as const;
export type SpType = (typeof spTypes)[number];

/** Strict, because directories, locks and workers are named after the testbed. */
export function isTestbedName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text);
}

export function isTargetName(text: string): boolean {
  return /^[^\s\p{C}]{1,128}$/u.test(text);
}

/** The parsed value, or what is wrong with the text and how to fix it. */
export type Parsed<T> = { value: T } | { wrong: string; fix: string };

/** A string that `read` parses. Its issues carry the fix in `params`. */
export function textAs<T>(read: (text: string) => Parsed<T>): z.ZodType<T, string> {
  return z.string().transform((text, context): T => {
    const parsed = read(text);
    if ("value" in parsed) return parsed.value;
    context.addIssue({ code: "custom", message: parsed.wrong, params: { fix: parsed.fix } });
    return z.NEVER;
  });
}

/** A string that must match `form` and is kept unchanged. */
export function textLike(form: RegExp, wrong: string, fix: string): z.ZodType<string, string> {
  return textAs<string>((text) =>
    form.test(text) ? { value: text } : { wrong: `${showValue(text)} ${wrong}`, fix },
  );
}

export function duration(atLeastMs: number, example: string): z.ZodType<number, string> {
  return textAs<number>((text) => {
    const value = parseDurationMs(text);
    const fix = `Write a number and one of ms, s, m, h, d, as in "${example}"`;
    if (value === null) return { wrong: `${showValue(text)} is not a duration`, fix };
    if (value < atLeastMs) {
      return { wrong: `${showValue(text)} is too short`, fix: `Write at least "${atLeastMs}ms"` };
    }
    const isTooLong = value > 365 * 86_400_000;
    return isTooLong ? { wrong: `${showValue(text)} is too long`, fix: `Write at most "365d"` } : { value };
  });
}

/** An absolute http or https URL, without a query, a fragment or a password. The slash at its end is removed. */
export function readHttpUrl(text: string): Parsed<string> {
  const fix = `Write only scheme, host and port, as in "https://buildomat.example.org"`;
  // The parser silently removes these; in a configuration they are a mistake.
  if (/[\s\p{Cc}]/u.test(text)) return { wrong: "a URL cannot have spaces or control characters", fix };
  const url = URL.parse(text);
  if (url !== null && (url.username !== "" || url.password !== "")) {
    return { wrong: "a user name or password in a URL would appear in logs", fix };
  }
  if (url === null || !/^https?:\/\/[^/?#]/i.test(text)) {
    return { wrong: `${showValue(text)} is not an http or https URL`, fix };
  }
  if (/[?#]/.test(text)) return { wrong: `${showValue(text)} has a query or fragment`, fix };
  return { value: url.href.replace(/\/+$/, "") };
}

const anyHostPath = /^(?:~(?:\/[^\p{Cc}]*)?|\/[^\p{Cc}]*)$/u;
export const path = (): z.ZodType<string, string> =>
  textLike(anyHostPath, "is not an absolute path", `Begin it with "/", or with "~/" for the home directory`);
export const line = (fix: string): z.ZodType<string, string> =>
  textLike(/^[^\p{Cc}]*\S[^\p{Cc}]*$/u, "is not one line of text", fix);
export const httpUrl = (): z.ZodType<string, string> => textAs(readHttpUrl);
export const agent = textLike(
  /^(?:builtin|~\/[^\p{Cc}]+|\/[^\p{Cc}]+)$/u,
  "is not an absolute path",
  `Write the agent's path from "/" or "~/", or "builtin" for the built-in agent`,
);

export const spType = textAs<SpType>((text) => {
  const found = spTypes.find((name) => name === text);
  if (found !== undefined) return { value: found };
  const near = nearestWord(text, spTypes);
  const meant = near === null ? "" : `; did you mean "${near}"?`;
  return {
    wrong: `${showValue(text)} is not a known type`,
    fix: `Write one of ${spTypes.join(", ")}${meant}`,
  };
}).meta({ enum: spTypes });

export const size = textAs<number>((text) => {
  const value = parseBytes(text);
  const fix = `Write a number and one of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB, as in "10GB"`;
  return value === null ? { wrong: `${showValue(text)} is not a size`, fix } : { value };
});

export const ulid = textAs<string>((text) => {
  const value = parseUlid(text);
  const fix = `Write the 26 characters that the server's administrator sees for the target, as in "01HGYSTRYRBS0DG7J6E22ZS3M5"`;
  return value === null ? { wrong: `${showValue(text)} is not a ULID`, fix } : { value };
});

export const host = textAs<string>((text) => {
  if (/^[^@]*@[^@]+$/.test(text)) {
    return {
      wrong: `${showValue(text)} has a user in it`,
      fix: "Write only the host here, and the user as ssh_user",
    };
  }
  // A leading "-" would be read as an option by ssh (test/FAULTS.md F69).
  if (/^[A-Za-z0-9_:][A-Za-z0-9._:%-]{0,252}$/.test(text)) return { value: text };
  return {
    wrong: `${showValue(text)} is not a host name`,
    fix: 'Write a host name, an address, or a Host from your ssh configuration, as in "lab-3.example.org"',
  };
});

export const hostKey = textAs<string>((text) => {
  const [, key] =
    /^((?:ssh|ecdsa|sk)-[A-Za-z0-9@.-]{1,64} [A-Za-z0-9+/]{16,4096}={0,3})(?: [^\p{Cc}]*)?$/u.exec(
      text.trim(),
    ) ?? [];
  const fix = `Write the key's type and the key, as ssh-keyscan prints them after the host's name: "ssh-ed25519 AAAAC3Nza..."`;
  return key === undefined ? { wrong: `${showValue(text)} is not a public host key`, fix } : { value: key };
});

export const token = textAs<string>((text) => {
  const wrong = findTokenFault(text);
  return wrong === null ? { value: text.trim() } : { wrong, fix: "Write the token as the server printed it" };
});

/** Why a text cannot be a token; null if it can. The answer does not contain the text. */
export function findTokenFault(text: string): string | null {
  const trimmed = text.trim();
  if (trimmed.length < 3) return trimmed === "" ? "it is empty" : "it is shorter than 3 characters";
  if (trimmed.length > 4096) return "it is longer than 4096 characters";
  if (/\s/.test(trimmed)) return "it contains a space or a line break";
  return /^[\x21-\x7e]+$/.test(trimmed) ? null : "it contains characters that an HTTP header cannot carry";
}

/** An http or https URL or a directory. The slash at its end is removed. */
export function readMirrorUrl(text: string): Parsed<string> {
  if (/^(?:file:\/\/)?\/[^\p{Cc}?#]*$/u.test(text)) return { value: text.replace(/\/+$/, "") };
  const read = readHttpUrl(text);
  if (!("wrong" in read)) return read;
  return {
    ...read,
    fix: 'Write a URL, as in "https://releases.example.org/factory", or a directory. Serve releases without a password: they are signed',
  };
}

/** Minutes since midnight, in this host's local time. */
export interface DayWindow {
  fromMinute: number;
  toMinute: number;
}

export const dayWindow = textAs<DayWindow>((text) => {
  const [, ...parts] = /^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$/.exec(text) ?? [];
  const [fromHour = 0, from = 0, toHour = 0, to = 0] = parts.map(Number);
  const value = { fromMinute: fromHour * 60 + from, toMinute: toHour * 60 + to };
  if (parts.length > 0 && value.fromMinute !== value.toMinute) return { value };
  return { wrong: `${showValue(text)} is not a time window`, fix: 'Write it as in "02:00-05:00"' };
});

/** Where something listens on this host. */
export interface ListenAddress {
  host: string;
  port: number;
}

export const listenAddress = textAs<ListenAddress>((text) => {
  const [, inBrackets, plain, port = ""] =
    /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = inBrackets ?? plain;
  const fix = 'Write an address of this host and a port, as in "127.0.0.1:8642" or "[::1]:8642"';
  if (host === undefined || Number(port) > 65_535)
    return { wrong: `${showValue(text)} is not an address and a port`, fix };
  return { value: { host, port: Number(port) } };
});
