/** Sends a recording's requests to a live development server at their recorded times, and collects how its answers differ. */
import { startDevserver, type Devserver } from "../../lib/devserver/server.ts";
import { openClock } from "../../lib/doors/clock.ts";
import { openHttp, type Http, type HttpReply, type HttpRequest } from "../../lib/doors/http.ts";
import { openRandom } from "../../lib/doors/random.ts";
import { createLikeness, type Likeness } from "../lab/likeness.ts";
import { bytesOf, isDigest, sha256, spacedJson, type RecordedLine } from "../lab/recording.ts";
import { createSettableClock, type SettableClock } from "../lab/settable-clock.ts";

/** The recordings began this long after their servers, as their loops' effects show. */
const leadMs = 70;
/** The real loop sleeps a second after each pass, whose work delays it by this much. */
const loopMs = 1007;

interface Stage {
  clock: SettableClock;
  server: Devserver;
  http: Http;
  likeness: Likeness;
  /** Hash of a recorded body -> hash of what was sent in its place. */
  sent: Map<string, string>;
  /** Watch streams, which are compared once they ended. */
  streams: (() => Promise<string[]>)[];
}

/** Every difference, with its line; empty where the server answered all lines as recorded. */
export async function replay(lines: RecordedLine[]): Promise<{ replayed: number; differences: string[] }> {
  const clock = createSettableClock();
  const stage: Stage = {
    clock,
    server: startDevserver({ clock, random: openRandom(), adminToken: "admin-token", loopMs, commitMs: 50 }),
    http: openHttp({ clock: openClock() }),
    likeness: createLikeness(),
    sent: new Map(),
    streams: [],
  };
  try {
    const beganMs = clock.uptimeMs();
    const differences: string[] = [];
    let replayed = 0;
    for (const line of lines) {
      const dueMs = beganMs + leadMs + Math.round(line.t * 1000);
      await clock.advance(Math.max(0, dueMs - clock.uptimeMs()));
      const found = await replayLine(stage, line);
      const about = `${line.t} ${line.who} ${line.method} ${line.path}`;
      differences.push(...found.map((difference) => `${about}: ${difference}`));
      replayed += 1;
    }
    for (const stream of stage.streams) differences.push(...(await stream()));
    return { replayed, differences };
  } finally {
    await stage.server.stop();
  }
}

async function replayLine(stage: Stage, line: RecordedLine): Promise<string[]> {
  const request = requestOf(stage, line);
  if (line.response_headers["content-type"] === "text/event-stream") {
    stage.streams.push(await openStream(stage, line, request));
    return [];
  }
  const reply = await stage.http.request(request);
  if (!reply.ok) return [reply.reason];
  return [...compareHead(line, reply), ...compareBody(stage, line, reply)];
}

/** Resolves once the stream is open, with a function that says how it differs when it has ended. */
async function openStream(
  { http, likeness }: Stage,
  line: RecordedLine,
  request: HttpRequest,
): Promise<() => Promise<string[]>> {
  const download = await http.download(request);
  if (!download.ok) return () => Promise.resolve([download.reason]);
  const whole = (async (): Promise<string> => {
    const parts: Uint8Array[] = [];
    for await (const part of download.parts) parts.push(part);
    return Buffer.concat(parts).toString();
  })();
  return async () => {
    const differences = likeness.compareStreams(String(line.response_body), await whole);
    return [...compareHead(line, download), ...differences];
  };
}

function requestOf(stage: Stage, line: RecordedLine): HttpRequest {
  const { likeness, server } = stage;
  const headers: Record<string, string> = { ...line.request_headers };
  const authorization = authorizationOf(line, likeness);
  if (authorization !== null) headers["authorization"] = authorization;
  // Only the content-type was recorded, and the reply says which part was asked for.
  if (line.status === 206) headers["range"] = "bytes=0-99";
  const body = bodyOf(stage, line);
  return {
    method: line.method,
    url: `${server.url}${likeness.translate(line.path)}`,
    headers,
    ...(body === null ? {} : { body }),
    timeoutMs: 20_000,
    maxBytes: 16 * 1024 * 1024,
  };
}

/** Tokens as the recording names them; the agents chose theirs themselves. */
function authorizationOf({ who, note }: RecordedLine, likeness: Likeness): string | null {
  const tokens: Record<string, string> = {
    admin: "admin-token",
    "unknown-token": "nobodys-token",
    worker: "<WORKER_TOKEN_1>",
    worker2: "<WORKER_TOKEN_2>",
    factory: likeness.translate("<FACTORY_TOKEN>"),
    factory2: likeness.translate("<FACTORY2_TOKEN>"),
    user: likeness.translate("<USER_TOKEN>"),
    user2: likeness.translate("<USER2_TOKEN>"),
  };
  if (who === "none") return null;
  const token = tokens[who];
  if (token === undefined) throw new Error(`the recording names somebody unknown: ${who}`);
  if (note === "lower-case scheme accepted") return `bearer ${token}`;
  return note === "Basic scheme" ? `Basic ${token}` : `Bearer ${token}`;
}

function bodyOf(
  { likeness, sent }: Stage,
  { request_body: body }: RecordedLine,
): Uint8Array<ArrayBuffer> | null {
  if (body === null) return null;
  if (isDigest(body)) {
    const { bytes } = bytesOf(body);
    sent.set(body.sha256, sha256(bytes));
    return bytes;
  }
  // A body that was recorded as text is not JSON.
  const text = typeof body === "string" ? body : spacedJson(body);
  return new TextEncoder().encode(likeness.translate(text));
}

function compareHead(line: RecordedLine, reply: Pick<HttpReply, "status" | "headers">): string[] {
  const differences: string[] = [];
  const recordedType = line.response_headers["content-type"] ?? null;
  const type = reply.headers.get("content-type");
  if (reply.status !== line.status) differences.push(`status ${line.status} became ${reply.status}`);
  if (type !== recordedType) differences.push(`content-type ${recordedType} became ${type}`);
  if (reply.headers.get("x-request-id") === null) differences.push("no x-request-id");
  return differences;
}

function compareBody({ likeness, sent }: Stage, line: RecordedLine, reply: HttpReply): string[] {
  const { response_body: recorded } = line;
  if (isDigest(recorded)) {
    const { isKnown } = bytesOf(recorded);
    const expected = isKnown ? recorded.sha256 : sent.get(recorded.sha256);
    const announced = Number(reply.headers.get("content-length"));
    if (announced !== recorded.length) return [`${announced} bytes announced`];
    if (reply.body.byteLength !== recorded.length) return [`${reply.body.byteLength} bytes`];
    return sha256(reply.body) === expected ? [] : ["other bytes"];
  }
  const text = new TextDecoder().decode(reply.body);
  if (recorded === null) return text === "" ? [] : [`a body came: ${text}`];
  let live: unknown;
  try {
    live = JSON.parse(text);
  } catch {
    return [`no JSON: ${text}`];
  }
  const differences = likeness.compare(recorded, live, "");
  const printed = JSON.stringify(live, null, line.status >= 400 ? 2 : undefined);
  if (text !== printed) differences.push(`printed otherwise: ${text}`);
  const requestId = reply.headers.get("x-request-id");
  if (line.status >= 400 && (live as { request_id: string }).request_id !== requestId) {
    differences.push("request_id is not the x-request-id");
  }
  return differences;
}
