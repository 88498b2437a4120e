/**
 * Which call a method and a path name, and how its inputs are read before anyone asks who calls
 * (lib/devserver/README.md "Conventions").
 */
import { Refusal, badRequest, type Exchange, type Reply } from "../model/exchange.ts";
import { readJsonBody, type Shape } from "./json-body.ts";

export interface Route {
  method: string;
  /** `{name}` takes any one part of the path; `{name:u32}` only a number. */
  path: string;
  /** Query parameters that are numbers or truths; others are texts. */
  query: Record<string, "u32" | "truth">;
  reads: "nothing" | "bytes" | "json";
  answer(exchange: Exchange, body: Uint8Array<ArrayBuffer>): Reply;
}

type Query = Route["query"];

/** A call without a body; one that is sent is ignored. */
export function call(
  method: string,
  path: string,
  answer: (exchange: Exchange) => Reply,
  query: Query = {},
): Route {
  return { method, path, query, reads: "nothing", answer };
}

export function bytesCall(
  method: string,
  path: string,
  answer: (exchange: Exchange, body: Uint8Array<ArrayBuffer>) => Reply,
): Route {
  return { method, path, query: {}, reads: "bytes", answer };
}

export function jsonCall<T>(
  method: string,
  path: string,
  shape: Shape<T>,
  answer: (exchange: Exchange, body: T) => Reply,
): Route {
  return {
    method,
    path,
    query: {},
    reads: "json",
    answer: (exchange, bytes) => {
      requireJsonType(exchange.headers);
      const body = readJsonBody(
        Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString(),
        shape,
      );
      if (!body.ok) throw badRequest(`unable to parse JSON body: ${body.why}`);
      return answer(exchange, body.value);
    },
  };
}

const knownTypes = ["application/octet-stream", "application/x-www-form-urlencoded", "multipart/form-data"];

function requireJsonType(headers: Headers): void {
  const given = headers.get("content-type");
  if (given === null) return;
  const type = given.split(";")[0]?.trim().toLowerCase() ?? "";
  if (type === "application/json") return;
  if (knownTypes.includes(type)) throw badRequest(`expected content type "application/json", got "${type}"`);
  throw badRequest(`unsupported content-type: ${given}`);
}

/** A tree of the paths' parts: fixed ones first, then the one that takes any. */
interface Node {
  fixed: Map<string, Node>;
  any: Node | null;
  routes: Map<string, { route: Route; names: string[] }>;
}

export type FindRoute = (
  method: string,
  url: string,
) => { route: Route; params: Record<string, string>; query: URLSearchParams };

/** Refuses with 404 or 405, and with 400 where a number is wanted and not given. */
export function createRouter(routes: Route[]): FindRoute {
  const createNode = (): Node => ({ fixed: new Map(), any: null, routes: new Map() });
  const root = createNode();
  for (const route of routes) {
    const names: string[] = [];
    let node = root;
    for (const part of route.path.split("/").filter((each) => each !== "")) {
      if (part.startsWith("{")) {
        names.push(part.slice(1, -1));
        node = node.any ??= createNode();
      } else {
        const next = node.fixed.get(part) ?? createNode();
        node.fixed.set(part, next);
        node = next;
      }
    }
    node.routes.set(route.method, { route, names });
  }

  return (method, url) => {
    const [path = "", search = ""] = splitUrl(url);
    const values: string[] = [];
    let node: Node | null = root;
    for (const part of path.split("/")) {
      if (part === "" || node === null) continue;
      const fixed: Node | undefined = node.fixed.get(part);
      if (fixed === undefined) values.push(decodePart(part));
      node = fixed ?? node.any;
    }
    if (node === null || node.routes.size === 0) throw new Refusal(404, null, "Not Found");
    const found = node.routes.get(method);
    if (found === undefined) throw new Refusal(405, null, "Method Not Allowed");
    const params = readParams(found.names, values);
    const query = new URLSearchParams(search);
    requireQuery(found.route.query, query);
    return { route: found.route, params, query };
  };
}

function decodePart(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw badRequest(`bad parameter in URL path: invalid percent-encoding in '${part}'`);
  }
}

function splitUrl(url: string): string[] {
  const path = url.slice(url.indexOf("/", url.indexOf("//") + 2));
  const mark = path.indexOf("?");
  return mark < 0 ? [path] : [path.slice(0, mark), path.slice(mark + 1)];
}

function readParams(names: string[], values: string[]): Record<string, string> {
  const params: Record<string, string> = {};
  for (const [index, value] of values.entries()) {
    const [name = "", type] = (names[index] ?? "").split(":");
    if (type === "u32" && !isU32(value)) {
      throw badRequest(`bad parameter in URL path: unable to parse '${value}' as u32`);
    }
    params[name] = value;
  }
  return params;
}

function requireQuery(wanted: Query, query: URLSearchParams): void {
  for (const [name, type] of Object.entries(wanted)) {
    const value = query.get(name);
    if (value === null) continue;
    const isRight = type === "u32" ? isU32(value) : value === "true" || value === "false";
    const why =
      type === "u32" ? "invalid digit found in string" : "provided string was not `true` or `false`";
    if (!isRight) throw badRequest(`unable to parse query string: ${why}`);
  }
}

function isU32(text: string): boolean {
  return /^\+?\d+$/.test(text) && Number(text) < 2 ** 32;
}
