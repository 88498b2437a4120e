/** Errors of a mirror say what to do: with a real TLS server and proxy, and the runtime's error codes for the rest. */
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openClock } from "../../lib/doors/clock.ts";
import { openDurableFiles } from "../../lib/doors/durable-files.ts";
import { type Http, openHttp } from "../../lib/doors/http.ts";
import { openMirror } from "../../lib/update/mirror.ts";
import { testWith } from "../lab/needs.ts";
import { FactoryError } from "../../lib/words/failure.ts";

const clock = openClock();
afterEach(() => void delete process.env["HTTPS_PROXY"]);

async function hintOf(
  url: string,
  http: Pick<Http, "download"> = openHttp({ clock }),
): Promise<string | undefined> {
  const signal = new AbortController().signal;
  const mirror = openMirror({ url, http, files: openDurableFiles(), clock, signal });
  const error: unknown = await mirror.readAll("manifest.json", 1000).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof FactoryError)) throw new Error(`not for people: ${String(error)}`);
  expect(error.message).toContain("Cannot get http");
  return error.hint;
}

test.each([
  ["CERT_NOT_YET_VALID", "clock is wrong"],
  ["CERT_HAS_EXPIRED", "clock is wrong"],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "NODE_EXTRA_CA_CERTS"],
  ["ENOTFOUND", "cannot resolve the name"],
  ["ECONNREFUSED", "Nothing listens there"],
  ["ERR_PROXY_TUNNEL", "HTTPS_PROXY"],
  ["EPIPE", "tried again later"],
])("the runtime's %s leads to a hint", async (code, hint) => {
  const http = { download: () => Promise.resolve({ ok: false as const, reason: "it failed", code }) };
  expect(await hintOf("https://mirror.example", http)).toContain(hint);
});

testWith("openssl")("a self-signed certificate leads to the variable for a private authority", async () => {
  const directory = mkdtempSync(join(tmpdir(), "mirror-"));
  const made = Bun.spawnSync(
    "openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -days 2 -subj /CN=localhost".split(" "),
    { cwd: directory, stderr: "ignore" },
  );
  expect(made.exitCode).toBe(0);
  const tls = { key: readFileSync(join(directory, "key")), cert: readFileSync(join(directory, "cert")) };
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", tls, fetch: () => new Response("{}") });
  try {
    expect(await hintOf(`https://localhost:${server.port}`)).toContain("NODE_EXTRA_CA_CERTS");
  } finally {
    await server.stop(true);
    rmSync(directory, { recursive: true });
  }
});

test("a proxy that refuses leads to its variable", async () => {
  const refuse = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
  const proxy = Bun.listen({
    port: 0,
    hostname: "127.0.0.1",
    socket: { data: (socket) => void socket.end(refuse) },
  });
  process.env["HTTPS_PROXY"] = `http://127.0.0.1:${proxy.port}`;
  try {
    expect(await hintOf("https://mirror.example")).toContain("HTTPS_PROXY");
  } finally {
    proxy.stop(true);
  }
});
