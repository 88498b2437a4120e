/** The network's door, and what a call to a server makes of each reply: bounds, deadlines, and what proves nothing. */
import { afterEach, expect, test } from "bun:test";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { z } from "zod";
import { callServer } from "../../lib/server/call.ts";
import { openClock } from "../../lib/doors/clock.ts";
import { type Http, openHttp } from "../../lib/doors/http.ts";
import { createSettableClock } from "../lab/settable-clock.ts";
import { until } from "../lab/until.ts";

const real = openHttp({ clock: openClock() });
let servers: Server[] = [];
afterEach(() => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  servers = [];
});

async function serve(
  answer: (request: IncomingMessage, reply: ServerResponse) => void,
): Promise<{ url: string; server: Server }> {
  const server = createServer(answer);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

const get = (url: string, over: object = {}) =>
  ({ method: "GET", url, timeoutMs: 10_000, maxBytes: 1000, ...over }) as const;

async function call(status: number, body: string, http: Http = real) {
  const { url } = await serve((_, reply) => reply.writeHead(status).end(body));
  return await callServer(
    { http, baseurl: url, token: null },
    { method: "GET", path: "/x", reply: z.object({ id: z.string() }) },
  );
}

test("F07 a redirect is a reply, and its target never gets the token", async () => {
  let visits = 0;
  const other = await serve((_, reply) => {
    visits += 1;
    reply.end();
  });
  const { url } = await serve((_, reply) => reply.writeHead(307, { location: other.url }).end());
  const headers = { authorization: "Bearer secret" };
  expect(await real.request(get(url, { headers }))).toMatchObject({ ok: true, status: 307 });
  expect(visits).toBe(0);
});

test("a reply of exactly the largest size is complete, and one byte more is a failure", async () => {
  const { url } = await serve(({ url: path }, reply) => reply.end("x".repeat(Number(path?.slice(1)))));
  const full = await real.request(get(`${url}/1000`));
  expect(full.ok && full.body.byteLength).toBe(1000);
  expect(await real.request(get(`${url}/1001`))).toEqual({
    ok: false,
    reason: "the reply is longer than 1000 bytes",
  });
});

test("F06 an endless reply is cut off, and its connection is closed", async () => {
  let isClosed = false;
  const { url } = await serve((_, reply) => {
    const more = (): void => void (reply.destroyed || reply.write("x".repeat(100), () => setImmediate(more)));
    reply.on("close", () => (isClosed = true));
    more();
  });
  expect((await real.request(get(url))).ok).toBe(false);
  await until("the connection is dropped", () => isClosed);
});

test("F04 the time limit covers the body's last byte", async () => {
  const { url } = await serve((_, reply) => void reply.write("begun"));
  const request = real.request(get(url, { timeoutMs: 200 }));
  expect(await request).toEqual({ ok: false, reason: "no full reply within 0.2 s", code: "ETIMEDOUT" });
});

test("the time limit covers a server that sends nothing at all", async () => {
  const { url } = await serve(() => undefined);
  const request = real.request(get(url, { timeoutMs: 100 }));
  expect(await request).toMatchObject({ ok: false, reason: "no full reply within 0.1 s", code: "ETIMEDOUT" });
});

test("an aborted call is cancelled, and says so", async () => {
  const { url } = await serve((_, reply) => void reply.write("begun"));
  const stop = new AbortController();
  const request = real.request(get(url, { signal: stop.signal }));
  await Bun.sleep(0);
  stop.abort();
  expect(await request).toMatchObject({ ok: false, reason: "cancelled" });
});

test("a connection is used again, but not after 25 s without use, because the server closes it at 30 s", async () => {
  const clock = createSettableClock();
  const http = openHttp({ clock });
  const { url, server } = await serve((_, reply) => reply.end());
  let connections = 0;
  server.on("connection", () => (connections += 1));
  const ask = async (): Promise<boolean> => (await http.request(get(url))).ok;
  await ask();
  await ask();
  const before = connections;
  await clock.advance(24_000);
  expect(await ask()).toBe(true);
  expect(connections).toBe(before);
  await clock.advance(26_000);
  expect(await ask()).toBe(true);
  expect(connections).toBe(before + 1);
});

test.each([408, 429, 500, 503, 599])("status %i proves nothing about what the server did", async (status) => {
  expect(await call(status, "{}")).toMatchObject({ ok: false, refusal: "no answer", status });
});

test.each([
  [400, "rejected"],
  [401, "unauthorised"],
  [403, "forbidden"],
  [404, "rejected"],
  [409, "conflict"],
] as const)("status %i is %s", async (status, refusal) => {
  expect(await call(status, '{"message":"why"}')).toMatchObject({ ok: false, refusal, message: "why" });
});

test.each([
  ["is cut short", '{"id":"a'],
  ["is of another form", '{"id":7}'],
  ["is a proxy's page", "<html>"],
  ["is empty", ""],
])("F05 a reply of 200 that %s proves nothing", async (_, body) => {
  expect(await call(200, body)).toMatchObject({ ok: false, refusal: "no answer", status: 200 });
});

test("F06 a reply of more than 8 MiB proves nothing, and one of 8 MiB is read", async () => {
  const bytes = 8 * 1024 * 1024;
  const body = (length: number): string => `{"id":"${"x".repeat(length - 9)}"}`;
  expect((await call(200, body(bytes))).ok).toBe(true);
  expect(await call(200, body(bytes + 1))).toMatchObject({ ok: false, refusal: "no answer", status: null });
});
