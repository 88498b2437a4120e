/** The flags and environment of `setup`, checked before it asks anything. */
import { resolve } from "node:path";
import { readTokenFile, type Surroundings } from "../../config/locations.ts";
import { expandHome } from "../../config/home-paths.ts";
import { showValue } from "../../config/problems.ts";
import {
  findTokenFault,
  isTargetName,
  readHttpUrl,
  readMirrorUrl,
  type Parsed,
} from "../../config/values.ts";
import { FactoryError } from "../../words/failure.ts";
import { Secret } from "../../words/secret.ts";
import { parseUlid } from "../../words/ulid.ts";
import type { AddedTestbed } from "./added-testbed.ts";
import type { NewConfig, NewTarget } from "./config-text.ts";

/** Null: not given. */
export interface Given {
  baseDirectory: string | null;
  baseurl: string | null;
  token: NewConfig["token"] | null;
  spRunner: string | null;
  spConfig: string | null;
  targets: NewTarget[];
  updateUrl: string | null;
  /** A testbed for a configuration that exists, or beside those that are found. */
  added: AddedTestbed | null;
}

/** `words`: the command line, in which `--target` may occur several times. Throws FactoryError. */
export function readGiven(
  args: Record<string, unknown>,
  words: string[],
  around: Surroundings,
): Omit<Given, "added"> {
  const flag = (name: string): string | null => (args[name] as string | undefined) ?? null;
  const baseDirectory = flag("base-dir") ?? (around.env["FACTORY_BASE"] || null);
  const url = flag("server-url");
  const spRunner = flag("sp-runner");
  const spConfig = flag("sp-config");
  const updateUrl = flag("update-url");
  const targets: NewTarget[] = [];
  for (const text of targetWords(words)) targets.push(must("--target", readTarget(text, targets)));
  return {
    baseDirectory: baseDirectory === null ? null : absolutePath(baseDirectory, around),
    baseurl: url === null ? null : must("--server-url", readHttpUrl(url)),
    token: readToken(flag("token-file"), around),
    spRunner: spRunner === null ? null : must("--sp-runner", readProgram(spRunner, around)),
    spConfig: spConfig === null ? null : must("--sp-config", readPath(spConfig, around)),
    targets,
    updateUrl: updateUrl === null ? null : must("--update-url", readMirrorUrl(updateUrl)),
  };
}

/** Reads `NAME=ULID`; `others` are the targets so far. */
export function readTarget(text: string, others: NewTarget[]): Parsed<NewTarget> {
  const at = text.lastIndexOf("=");
  const name = text.slice(0, Math.max(at, 0)).trim();
  const id = parseUlid(text.slice(at + 1).trim());
  const fix = "Write it as in sp-grapefruit=01M850P0K099E9F8GHWJ7VBZWM";
  if (at < 0) return { wrong: `${showValue(text)} has no "="`, fix };
  if (!isTargetName(name)) return { wrong: `${showValue(name)} cannot be a target's name`, fix };
  if (id === null) return { wrong: `${showValue(text.slice(at + 1))} is not a ULID`, fix };
  const twin = others.find((other) => other.name === name || other.id === id);
  if (twin !== undefined) {
    return { wrong: `${twin.name}=${twin.id} is given already`, fix: "Name each target once" };
  }
  return { value: { name, id } };
}

/** A path, or a command line. Only a relative path is made absolute. */
export function readProgram(text: string, { workingDirectory }: Surroundings): Parsed<string> {
  if (/\p{Cc}/u.test(text)) return { wrong: "it has control characters", fix: "Write it on one line" };
  return { value: /^[^\s/~][^\s]*\//.test(text) ? `${workingDirectory}/${text}` : text };
}

/** An absolute path; a path from `~` stays as it is. */
export function readPath(text: string, { workingDirectory }: Surroundings): Parsed<string> {
  if (/\p{Cc}/u.test(text)) return { wrong: "it has control characters", fix: "Write it on one line" };
  return { value: /^~(?:\/|$)/.test(text) ? text : resolve(workingDirectory, text) };
}

export function absolutePath(text: string, { home, workingDirectory }: Surroundings): string {
  return resolve(workingDirectory, expandHome(text, home));
}

/** A typed token. */
export function readTypedToken(text: string): Parsed<Secret> {
  const fault = findTokenFault(text);
  return fault === null ? { value: new Secret(text.trim()) } : { wrong: fault, fix: "Paste only the token" };
}

export function secretOf(token: NewConfig["token"], { readText }: Surroundings): Secret {
  return "file" in token ? new Secret(readText(token.file).trim()) : token.value;
}

/** For a token in a file or typed; null: nothing is wrong with it. */
export function warnOfToken(token: NewConfig["token"], around: Surroundings): string | null {
  const text = secretOf(token, around).reveal();
  return text.length < 16
    ? `Warning: this token has only ${text.length} characters; a server's tokens are longer, and a short one can be guessed`
    : null;
}

function readToken(tokenFile: string | null, around: Surroundings): NewConfig["token"] | null {
  const fix = "It must contain only the token, on one line";
  if (tokenFile !== null) {
    const file = absolutePath(tokenFile, around);
    const text = readTokenFile(file, around);
    const fault = findTokenFault(text);
    if (fault !== null) throw new FactoryError(`Cannot use --token-file ${file}: ${fault}`, { hint: fix });
    return { file };
  }
  const text = around.env["FACTORY_TOKEN"] ?? "";
  if (text === "") return null;
  const fault = findTokenFault(text);
  if (fault !== null) throw new FactoryError(`Cannot use FACTORY_TOKEN: ${fault}`, { hint: fix });
  return { value: new Secret(text.trim()) };
}

function targetWords(words: string[]): string[] {
  return words.flatMap((word, index) => {
    if (word.startsWith("--target=")) return [word.slice("--target=".length)];
    return word === "--target" ? [words[index + 1] ?? ""] : [];
  });
}

export function must<T>(flag: string, parsed: Parsed<T>): T {
  if ("value" in parsed) return parsed.value;
  throw new FactoryError(`Cannot use ${flag}: ${parsed.wrong}`, { hint: parsed.fix });
}
