/** The control socket's door: real sockets, and askers that are processes of their own. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { openClock } from "../../lib/doors/clock.ts";
import {
  type SocketRequest,
  type ControlSocketOptions,
  openControlSocket,
} from "../../lib/doors/control-socket.ts";
import { openHttp } from "../../lib/doors/http.ts";
import { testWith } from "../lab/needs.ts";
import { createSettableClock } from "../lab/settable-clock.ts";
import { until } from "../lab/until.ts";

let directory: string;
let path: string;
const closing: { close(): Promise<void> }[] = [];
const faults: unknown[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "socket-"));
  chmodSync(directory, 0o755);
  path = join(directory, "control/control.sock");
});
afterEach(async () => {
  await closeAll();
  faults.length = 0;
  rmSync(directory, { recursive: true, force: true });
});

async function closeAll(): Promise<void> {
  await Promise.all(closing.splice(0).map((each) => each.close()));
}

async function listen(options: Partial<ControlSocketOptions> = {}): Promise<void> {
  const answer = ({ method, url, body }: SocketRequest) =>
    Promise.resolve({ status: 200, body: `${method} ${url.pathname}${url.search} ${body}` });
  const socket = await openControlSocket({
    path,
    gid: null,
    clock: openClock(),
    answer,
    onFault: (error) => faults.push(error),
    ...options,
  });
  closing.push(socket);
}

const ask = async (body?: string, signal?: AbortSignal): Promise<string> => {
  const words = body === undefined ? {} : { method: "POST", body };
  const reply = await fetch("http://control/a?b=c", { unix: path, ...words, ...(signal ? { signal } : {}) });
  return `${reply.status} ${await reply.text()}`;
};

/** Sends the bytes as they are, and gives what came back until the connection was closed. */
async function send(...parts: (string | Buffer)[]): Promise<string> {
  const got: Buffer[] = [];
  const closed = Promise.withResolvers<void>();
  await Bun.connect({
    unix: path,
    socket: {
      open: (socket) => {
        for (const part of parts) socket.write(part);
      },
      data: (_, bytes) => void got.push(bytes),
      close: () => closed.resolve(),
    },
  });
  await closed.promise;
  return Buffer.concat(got).toString();
}

test("a request is answered, and the asker's user, groups and process are known", async () => {
  let seen: SocketRequest["peer"] | null = null;
  await listen({
    answer: ({ method, url, body, peer }) => {
      seen = peer;
      return Promise.resolve({ status: 200, body: `${method} ${url.pathname}${url.search} ${body}` });
    },
  });
  expect(await ask()).toBe("200 GET /a?b=c ");
  expect(await ask("tést")).toBe("200 POST /a?b=c tést");
  expect(seen).toMatchObject({ uid: process.getuid?.() ?? -1, pid: process.pid });
  expect(seen).toMatchObject({ gids: expect.arrayContaining([process.getgid?.() ?? -1]) as number[] });
});

testWith("root")("all groups of another user's process are known, also many of them", async () => {
  const seen: SocketRequest["peer"][] = [];
  await listen({
    gid: 40_001,
    answer: ({ peer }) => {
      seen.push(peer);
      return Promise.resolve({ status: 200, body: "" });
    },
  });
  const gids = Array.from({ length: 200 }, (_, index) => 40_001 + index);
  const script = `await fetch("http://control/", { unix: ${JSON.stringify(path)} })`;
  const who = ["--reuid=40000", "--regid=40000"];
  const asker = (groups: string): Bun.Subprocess =>
    Bun.spawn(["setpriv", ...who, groups, process.execPath, "-e", script], {
      cwd: "/",
      env: { HOME: "/nonexistent", BUN_BE_BUN: "1", PATH: "/usr/bin" },
      stdio: ["ignore", "ignore", "ignore"],
    });
  const child = asker(`--groups=${gids.join(",")}`);
  expect(await child.exited).toBe(0);
  expect(seen).toEqual([{ uid: 40_000, pid: child.pid, gids: [40_000, ...gids] }]);
  // A stranger cannot even open it.
  expect(await asker("--clear-groups").exited).not.toBe(0);
  expect(seen).toHaveLength(1);
});

test("a path that is too long for a socket's address is fine", async () => {
  path = join(directory, "d".repeat(120), "e".repeat(120), "control/control.sock");
  await listen();
  expect(await ask()).toBe("200 GET /a?b=c ");
  expect(existsSync(path)).toBe(true);
});

test("only this user may open the socket, and a group that is named or that an administrator gave its directory", async () => {
  const modes = (): string[] =>
    [dirname(path), path].map((each) => {
      const { mode, gid } = statSync(each);
      return `${(mode & 0o7777).toString(8)} ${gid}`;
    });
  const own = process.getgid?.() ?? -1;
  await listen();
  expect(modes()).toEqual([`700 ${own}`, `600 ${own}`]);
  await closeAll();
  const other = process.getuid?.() === 0 ? 40_001 : own;
  await listen({ gid: other });
  expect(modes()).toEqual([`710 ${other}`, `660 ${other}`]);
  await closeAll();
  // Without the group it is as an administrator left it.
  await listen();
  expect(modes()).toEqual([`710 ${other}`, `660 ${other}`]);
  await closeAll();
  chownSync(dirname(path), -1, own);
  chmodSync(dirname(path), 0o2750);
  await listen({ gid: other });
  expect(modes()).toEqual([`2750 ${own}`, `660 ${own}`]);
});

test("F120 a killed program's socket is replaced, and one on which somebody listens never is", async () => {
  await listen();
  expect(listen()).rejects.toThrow("another program listens");
  expect(await ask()).toStartWith("200");
  await closeAll();
  expect(existsSync(path)).toBe(false);
  const script = `Bun.listen({ unix: ${JSON.stringify(path)}, socket: { data() {} } }); process.kill(process.pid, "SIGKILL")`;
  await Bun.spawn([process.execPath, "-e", script], { stdio: ["ignore", "ignore", "ignore"] }).exited;
  expect(existsSync(path)).toBe(true);
  await listen();
  expect(await ask()).toStartWith("200");
});

test("what is not a socket or not its own directory is left alone", async () => {
  mkdirSync(dirname(path));
  writeFileSync(path, "mine");
  expect(listen()).rejects.toThrow("is not a socket");
  rmSync(dirname(path), { recursive: true });
  mkdirSync(join(directory, "elsewhere"));
  symlinkSync(join(directory, "elsewhere"), dirname(path));
  expect(listen()).rejects.toThrow("is not a directory");
});

testWith("root")("a directory that another user made is not trusted", async () => {
  mkdirSync(dirname(path));
  chownSync(dirname(path), 40_000, 40_000);
  expect(listen()).rejects.toThrow("belongs to another user");
  expect(existsSync(path)).toBe(false);
});

test("a request is answered once, whatever is sent after it", async () => {
  const asked: string[] = [];
  const answered = Promise.withResolvers<void>();
  await listen({
    answer: async ({ url }) => {
      asked.push(url.pathname);
      await answered.promise;
      return { status: 200, body: "" };
    },
  });
  const more: string[] = [];
  const closed = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    unix: path,
    socket: { data: (_, bytes) => void more.push(bytes.toString()), close: () => closed.resolve() },
  });
  socket.write("GET /a HTTP/1.1\r\n\r\n");
  await until("it is asked", () => asked.length > 0);
  socket.write("GET /b HTTP/1.1\r\n\r\n");
  // The other end has taken it in once a later connection was answered.
  await send("hello\r\n\r\n");
  answered.resolve();
  await closed.promise;
  expect(asked).toEqual(["/a"]);
  expect(more.join("").split("HTTP/1.1")).toHaveLength(2);
});

test("what is not a request, and what is too long, is refused", async () => {
  await listen();
  expect(await send("hello\r\n\r\n")).toStartWith("HTTP/1.1 400 ");
  expect(await send("GET http://elsewhere/ HTTP/1.1\r\n\r\n")).toStartWith("HTTP/1.1 400 ");
  expect(await send("POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n")).toStartWith("HTTP/1.1 400 ");
  expect(await send("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")).toStartWith("HTTP/1.1 411 ");
  expect(await send("POST / HTTP/1.1\r\nContent-Length: 65537\r\n\r\n")).toStartWith("HTTP/1.1 413 ");
  expect(await send(`GET / HTTP/1.1\r\nA: ${"b".repeat(17_000)}`)).toStartWith("HTTP/1.1 431 ");
  expect(await send(`GET / HTTP/1.1\r\nA: ${"b".repeat(17_000)}\r\n\r\n`)).toStartWith("HTTP/1.1 431 ");
  const body = "b".repeat(65_536);
  expect(await send(`POST / HTTP/1.1\r\nContent-Length: 65536\r\n\r\n`, body)).toEndWith(body);
  expect(await send("GET /a HTTP/1.1\r\n", "\r\n", "GET /b HTTP/1.1\r\n\r\n")).not.toContain("/b");
});

test("no header and no way of sending it keeps the program from its work", async () => {
  await listen();
  // A pattern that tries each of these spaces as the beginning and the end of the value would need minutes.
  const spaces = " ".repeat(2_000);
  expect(await send(`GET / HTTP/1.1\r\nA:${spaces}\nb\r\n\r\n`)).toStartWith("HTTP/1.1 400 ");
  expect(await send(`GET / HTTP/1.1\r\nA: b${spaces}c\r\n\r\n`)).toStartWith("HTTP/1.1 200 ");
});

test("a request in very many pieces is refused: all of it is looked through at each", async () => {
  await listen();
  const got = Promise.withResolvers<string>();
  const socket = await Bun.connect({
    unix: path,
    socket: { data: (_, bytes) => got.resolve(bytes.toString()), close: () => got.resolve("") },
  });
  socket.write("POST / HTTP/1.1\r\nContent-Length: 60000\r\n\r\n");
  const sending = (async () => {
    for (let sent = 0; sent < 59_000 && socket.write("b") > 0; sent += 1) await Bun.sleep(0);
  })();
  expect(await got.promise).toStartWith("HTTP/1.1 400 ");
  socket.terminate();
  await sending;
});

test("F121 one who does not send a whole request in 10 s is dropped, and so is one connection too many", async () => {
  const clock = createSettableClock();
  await listen({ clock });
  const slow = send("GET / HTTP/1.1\r\n");
  await until("it is known", () => clock.waiting() === 1);
  const idle = Array.from({ length: 63 }, () => send(""));
  await until("all are known", () => clock.waiting() === 64);
  expect(await send("GET /one-too-many HTTP/1.1\r\n\r\n")).toBe("");
  await clock.advance(10_000);
  expect((await Promise.all([slow, ...idle])).join("")).toBe("");
  expect(await ask()).toStartWith("200");
  expect(clock.waiting()).toBe(0);
});

test("an answer is sent as it comes, and ends when the asker goes", async () => {
  const gone = Promise.withResolvers<void>();
  await listen({
    answer: ({ signal }) => {
      signal.addEventListener("abort", () => gone.resolve());
      async function* parts(): AsyncGenerator<string> {
        yield "one ";
        yield "";
        yield "two ";
        await gone.promise;
      }
      return Promise.resolve({ status: 200, body: parts() });
    },
  });
  const leaving = new AbortController();
  const reply = await fetch("http://control/", { unix: path, signal: leaving.signal });
  const reader = (reply.body as ReadableStream<Uint8Array>).getReader();
  let text = "";
  while (text !== "one two ") text += new TextDecoder().decode((await reader.read()).value);
  leaving.abort();
  await gone.promise;
});

test("a long answer arrives whole, and one who does not take it is dropped", async () => {
  const clock = createSettableClock();
  const long = "0123456789".repeat(1_000_000);
  await listen({ clock, answer: () => Promise.resolve({ status: 200, body: long }) });
  const reply = await fetch("http://control/", { unix: path });
  expect((await reply.text()) === long).toBe(true);
  expect(clock.waiting()).toBe(0);
  const closed = Promise.withResolvers<void>();
  const stuck = await Bun.connect({
    unix: path,
    socket: {
      open: (socket) => {
        socket.write("GET / HTTP/1.1\r\n\r\n");
        socket.pause();
      },
      data: () => undefined,
      close: () => closed.resolve(),
    },
  });
  await until("it does not take any more", () => clock.waiting() === 1);
  await clock.advance(30_000);
  stuck.resume();
  await closed.promise;
  expect(clock.waiting()).toBe(0);
});

test("an answer that fails is reported and said, and the next is answered", async () => {
  await listen({
    answer: ({ method }) =>
      method === "POST" ? Promise.reject(new Error("a bug")) : Promise.resolve({ status: 200, body: "" }),
  });
  expect(await ask("x")).toStartWith("500");
  expect(faults).toHaveLength(1);
  expect(await ask()).toStartWith("200");
});

test("what was asked before it is closed is answered, and what has no end is broken off after a second", async () => {
  const clock = createSettableClock();
  const asked = Promise.withResolvers<undefined>();
  const answer = Promise.withResolvers<undefined>();
  async function* endless(signal: AbortSignal): AsyncGenerator<string> {
    yield "begun";
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  }
  await listen({
    clock,
    answer: async ({ url, signal }) => {
      if (url.pathname === "/endless") return { status: 200, body: endless(signal) };
      asked.resolve(undefined);
      await answer.promise;
      return { status: 200, body: "drained" };
    },
  });
  const reply = ask();
  await asked.promise;
  const closed = closeAll();
  answer.resolve(undefined);
  expect(await reply).toBe("200 drained");
  await closed;
  await listen({ clock, answer: ({ signal }) => Promise.resolve({ status: 200, body: endless(signal) }) });
  const stream = await fetch("http://control/endless", { unix: path });
  const broken = stream.text().catch(() => "broken");
  const closing = closeAll();
  await clock.advance(1_000);
  await closing;
  expect(await broken).toBe("broken");
});

test("a client reaches it through the door of HTTP", async () => {
  await listen();
  const http = openHttp({ clock: openClock() });
  const request = { method: "GET" as const, url: "http://control/status", timeoutMs: 5_000, maxBytes: 1_000 };
  expect(await http.request({ ...request, unix: path })).toMatchObject({ ok: true, status: 200 });
  const none = await http.request({ ...request, unix: `${path}.none` });
  expect(none).toMatchObject({ ok: false, code: "ENOENT" });
});

test("a request whose body comes later is answered once it is whole", async () => {
  const bodies: string[] = [];
  await listen({
    answer: ({ body }) => {
      bodies.push(body);
      return Promise.resolve({ status: 200, body: "" });
    },
  });
  const closed = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    unix: path,
    socket: { data: () => undefined, close: () => closed.resolve() },
  });
  socket.write("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n");
  // The other end has taken it in once a later connection was answered.
  await send("hello\r\n\r\n");
  socket.write("0123456789");
  await closed.promise;
  expect(bodies).toEqual(["0123456789"]);
});

testWith("root")("a group that is named takes the place of one that cannot stay", async () => {
  mkdirSync(dirname(path));
  chownSync(dirname(path), -1, 40_002);
  chmodSync(dirname(path), 0o710);
  await listen({ gid: 40_001 });
  expect([dirname(path), path].map((each) => statSync(each).gid)).toEqual([40_001, 40_001]);
});
