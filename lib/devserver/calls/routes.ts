/**
 * Which call a method and a path name, and how its inputs are read before the token is looked at
 * (lib/devserver/README.md "Conventions").
 */
import type { z } from "zod";
import { badRequest, json, RefusedCall, type Exchange } from "../model/exchange.ts";
import { requireAdmin } from "./callers.ts";
import { readJsonBody } from "./json-body.ts";

type Query = Record<string, "u32" | "truth">;

export interface Route {
  method: string;
  /** `{name}` is any one part of the path; `{name:u32}` a number. */
  path: string;
  /** Query parameters that are numbers or truths; others are texts. */
  query: Query;
  hasBody: boolean;
  /** A value is sent as JSON with 200; nothing is 204. */
  answer(exchange: Exchange, body: Uint8Array<ArrayBuffer>): unknown;
}

/** A call without a body; one that is sent is ignored. */
export function call(
  method: string,
  path: string,
  answer: (exchange: Exchange) => unknown,
  query: Query = {},
): Route {
  return { method, path, query, hasBody: false, answer };
}

export function bytesCall(method: string, path: string, answer: Route["answer"]): Route {
  return { method, path, query: {}, hasBody: true, answer };
}

export function jsonCall<T>(
  method: string,
  path: string,
  shape: z.ZodType<T>,
  answer: (exchange: Exchange, body: T) => unknown,
): Route {
  return bytesCall(method, path, (exchange, bytes) => {
    requireJsonType(exchange.headers);
    return answer(exchange, readJsonBody(Buffer.from(bytes.buffer).toString(), shape));
  });
}

/** A call of the administrator, or of a user with this privilege. */
export function adminCall(
  method: string,
  path: string,
  privilege: string,
  answer: (exchange: Exchange) => unknown,
  query: Query = {},
): Route {
  return call(method, path, (exchange) => (requireAdmin(exchange, privilege), answer(exchange)), query);
}

export function adminJsonCall<T>(
  method: string,
  path: string,
  privilege: string,
  shape: z.ZodType<T>,
  answer: (exchange: Exchange, body: T) => unknown,
): Route {
  return jsonCall(method, path, shape, (exchange, body) => {
    requireAdmin(exchange, privilege);
    return answer(exchange, body);
  });
}

const knownTypes = ["application/octet-stream", "application/x-www-form-urlencoded", "multipart/form-data"];

function requireJsonType(headers: Headers): void {
  const given = headers.get("content-type") ?? "application/json";
  const type = given.split(";")[0]?.trim().toLowerCase() ?? "";
  if (type === "application/json") return;
  if (knownTypes.includes(type)) throw badRequest(`expected content type "application/json", got "${type}"`);
  throw badRequest(`unsupported content-type: ${given}`);
}

export type FindRoute = (
  method: string,
  url: string,
) => { route: Route; params: Record<string, string>; query: URLSearchParams };

/** Refuses with 404 or 405, and with 400 if a number is expected and not given. */
export function createRouter(routes: Route[]): FindRoute {
  const known = routes.map((route) => ({ route, parts: partsOf(route.path) }));
  return (method, url) => {
    const { pathname, searchParams: query } = new URL(url);
    const values = partsOf(pathname);
    const fitting = known.filter(
      ({ parts }) =>
        parts.length === values.length &&
        parts.every((part, index) => part.startsWith("{") || part === values[index]),
    );
    if (fitting.length === 0) throw new RefusedCall(404, undefined, "Not Found");
    const found = fitting.find(({ route }) => route.method === method);
    if (found === undefined) throw new RefusedCall(405, undefined, "Method Not Allowed");
    const params = readParams(found.parts, values);
    for (const [name, type] of Object.entries(found.route.query)) {
      const value = query.get(name);
      if (value === null || (type === "u32" ? isU32(value) : /^(?:true|false)$/.test(value))) continue;
      throw badRequest(`unable to parse query string: ${name} "${value}" is not a ${type}`);
    }
    return { route: found.route, params, query };
  };
}

/** Doubled and trailing slashes do not matter. */
function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "");
}

function readParams(parts: string[], values: string[]): Record<string, string> {
  const params: Record<string, string> = {};
  for (const [index, part] of parts.entries()) {
    if (!part.startsWith("{")) continue;
    const value = decodePart(values[index] ?? "");
    const [name = "", type] = part.slice(1, -1).split(":");
    if (type === "u32" && !isU32(value)) {
      throw badRequest(`bad parameter in URL path: unable to parse '${value}' as u32`);
    }
    params[name] = value;
  }
  return params;
}

function decodePart(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw badRequest(`bad parameter in URL path: invalid percent-encoding in '${part}'`);
  }
}

function isU32(text: string): boolean {
  return /^\+?\d+$/.test(text) && Number(text) < 2 ** 32;
}

/** The response for a call's answer. */
export function responseOf(answer: unknown): Response {
  if (answer === undefined) return new Response(null, { status: 204 });
  return answer instanceof Response ? answer : json(200, answer);
}
