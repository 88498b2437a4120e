/**
 * What a request's JSON body must look like, and the server's exact complaint when it does not. The server is a Rust program:
 * the wording is that of its JSON library, which clients and recordings show (lib/devserver/README.md "Conventions").
 */
import { describePlace, JsonError, locateJson, type Path } from "./json-text.ts";
import { parseTime } from "../model/timestamps.ts";

export interface Shape<T> {
  /** Throws a Misfit where the value is of another shape. */
  read(value: unknown, path: Path): T;
  /** The value of a field that is not there; without it the field is required. */
  absent?: () => T;
}

export type ShapeOf<S> = S extends Shape<infer T> ? T : never;

class Misfit extends Error {
  readonly path: Path;
  /** Which end of the value at `path` the message points at. */
  readonly edge: "start" | "end";

  constructor(path: Path, message: string, edge: "start" | "end") {
    super(message);
    this.path = path;
    this.edge = edge;
  }
}

/** Containers are refused before they are read, anything else after. */
function wrongType(value: unknown, path: Path, expected: string): never {
  const edge = typeof value === "object" && value !== null ? "start" : "end";
  throw new Misfit(path, `invalid type: ${describe(value)}, expected ${expected}`, edge);
}

function describe(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "sequence";
  if (typeof value === "object") return "map";
  if (typeof value === "string") return `string ${JSON.stringify(value)}`;
  if (typeof value === "boolean") return `boolean \`${value}\``;
  // Numbers are all that is left of JSON.
  const number = Number(value);
  return Number.isInteger(number) ? `integer \`${number}\`` : `floating point \`${number}\``;
}

export const text: Shape<string> = {
  read: (value, path) => (typeof value === "string" ? value : wrongType(value, path, "a string")),
};

export const truth: Shape<boolean> = {
  read: (value, path) => (typeof value === "boolean" ? value : wrongType(value, path, "a boolean")),
};

function unsigned(name: string, most: number): Shape<number> {
  return {
    read: (value, path) => {
      if (typeof value !== "number" || !Number.isInteger(value)) return wrongType(value, path, name);
      if (value >= 0 && value <= most) return value;
      throw new Misfit(path, `invalid value: integer \`${value}\`, expected ${name}`, "end");
    },
  };
}
export const u32 = unsigned("u32", 2 ** 32 - 1);
export const u64 = unsigned("u64", 2 ** 64);

/** A time with a zone; what comes out is in UTC. */
export const time: Shape<string> = {
  read: (value, path) => {
    const given =
      typeof value === "string"
        ? value
        : wrongType(value, path, "an RFC 3339 formatted date and time string");
    const parsed = parseTime(given);
    if (!parsed.ok) throw new Misfit(path, parsed.why, "end");
    return parsed.time;
  },
};

/** The one word that is known. */
export function only<W extends string>(word: W): Shape<W> {
  return {
    read: (value, path) => {
      if (typeof value !== "string") return wrongType(value, path, "variant identifier");
      if (value === word) return word;
      throw new Misfit(path, `unknown variant \`${value}\`, expected \`${word}\``, "end");
    },
  };
}

export function listOf<T>(item: Shape<T>): Shape<T[]> {
  return {
    read: (value, path) =>
      Array.isArray(value)
        ? value.map((each, index) => item.read(each, [...path, index]))
        : wrongType(value, path, "a sequence"),
  };
}

export function mapOf<T>(item: Shape<T>): Shape<Record<string, T>> {
  return {
    read: (value, path) => {
      if (typeof value !== "object" || value === null || Array.isArray(value)) {
        return wrongType(value, path, "a map");
      }
      return Object.fromEntries(
        Object.entries(value).map(([key, each]) => [key, item.read(each, [...path, key])]),
      );
    },
  };
}

/** Absent and null are the same: null. */
export function optional<T>(shape: Shape<T>): Shape<T | null> {
  return { read: (value, path) => (value === null ? null : shape.read(value, path)), absent: () => null };
}

/** May be absent, but not null. */
export function defaulted<T>(shape: Shape<T>, value: () => NoInfer<T>): Shape<T> {
  return { read: (given, path) => shape.read(given, path), absent: value };
}

/** Unknown fields are ignored. A list is taken as the fields in their order, as the server's library takes it. */
export function struct<F extends Record<string, Shape<unknown>>>(
  name: string,
  fields: F,
): Shape<{ [K in keyof F]: ShapeOf<F[K]> }> {
  const names = Object.keys(fields);
  return {
    read: (value, path) => {
      if (typeof value !== "object" || value === null) return wrongType(value, path, `struct ${name}`);
      const isList = Array.isArray(value);
      const found: Record<string, unknown> = {};
      for (const [key, each] of Object.entries(value as Record<string, unknown>)) {
        const field = isList ? (names[Number(key)] ?? "") : key;
        const shape = Object.hasOwn(fields, field) ? fields[field] : undefined;
        if (shape !== undefined) found[field] = shape.read(each, [...path, isList ? Number(key) : key]);
      }
      for (const field of names) {
        if (Object.hasOwn(found, field)) continue;
        const absent = fields[field]?.absent;
        if (absent === undefined) throw new Misfit(path, `missing field \`${field}\``, "end");
        found[field] = absent();
      }
      return found as { [K in keyof F]: ShapeOf<F[K]> };
    },
  };
}

/** The body's value, or the text of the server's refusal. What follows the value is ignored, as the server does. */
export function readJsonBody<T>(
  body: string,
  shape: Shape<T>,
): { ok: true; value: T } | { ok: false; why: string } {
  try {
    return { ok: true, value: shape.read(parseFirstValue(body), []) };
  } catch (error) {
    if (error instanceof JsonError) return { ok: false, why: error.message };
    if (!(error instanceof Misfit)) throw error;
    const { wanted } = locateJson(body, error.path);
    const about = error.path.length === 0 ? "" : `${printPath(error.path)}: `;
    return { ok: false, why: `${about}${error.message} ${describePlace(body, wanted[error.edge])}` };
  }
}

function parseFirstValue(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    const { whole } = locateJson(body, []);
    return JSON.parse(body.slice(whole.start, whole.end));
  }
}

/** `tasks[0].env` */
function printPath(path: Path): string {
  return path.reduce<string>((printed, step) => {
    if (typeof step === "number") return `${printed}[${step}]`;
    return printed === "" ? step : `${printed}.${step}`;
  }, "");
}
