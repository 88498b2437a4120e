/** A download from a real server that is slow, broken or hostile; and from a directory. */
import { afterAll, afterEach, beforeEach, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { openClock } from "../../lib/doors/clock.ts";
import { type DurableFiles, openDurableFiles } from "../../lib/doors/durable-files.ts";
import { openHttp } from "../../lib/doors/http.ts";
import { download, type Downloading } from "../../lib/update/download.ts";
import type { Artifact } from "../../lib/update/manifest.ts";
import { openMirror } from "../../lib/update/mirror.ts";
import { asFactoryError } from "../../lib/update/refusal.ts";
import { FactoryError } from "../../lib/words/failure.ts";
import { openStaticMirror, type StaticMirror } from "../lab/static-mirror.ts";
import { createSettableClock } from "../lab/settable-clock.ts";

const scratch = mkdtempSync(join(tmpdir(), "download-"));
const served = join(scratch, "served");
mkdirSync(served);
const hash = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const executable = randomBytes(3_000_000);
const packed = gzipSync(executable);
writeFileSync(join(served, "x.gz"), packed);
const artifact: Artifact = {
  path: "x.gz",
  size: packed.byteLength,
  sha256: hash(packed),
  executable: { size: executable.byteLength, sha256: hash(executable) },
};
const files = openDurableFiles();
const clock = openClock();
const http = openHttp({ clock });

let mirror: StaticMirror;
let staging = "";
beforeEach(async () => {
  mirror = await openStaticMirror(served);
  staging = mkdtempSync(join(scratch, "staging-"));
});
afterEach(async () => await mirror[Symbol.asyncDispose]());
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

async function get(changes: Partial<Downloading> = {}, url = mirror.url): Promise<string> {
  const signal = new AbortController().signal;
  const source = openMirror({ url, http, files, clock, signal });
  return await download({
    artifact,
    mirror: source,
    files,
    staging,
    signal,
    onProgress: () => undefined,
    ...changes,
  });
}

async function complaint(work: Promise<unknown>): Promise<string> {
  const thrown: unknown = await work.then(
    () => null,
    (error: unknown) => error,
  );
  // As the updater does.
  const error = asFactoryError(thrown, staging);
  if (!(error instanceof FactoryError)) throw new Error(`not for people: ${String(error)}`);
  return `${error.message}; ${error.hint}`;
}

const isRight = (path: string): boolean => hash(readFileSync(path)) === artifact.executable.sha256;

test("download() gets the executable that was signed, and leaves nothing else", async () => {
  const seen: number[] = [];
  expect(isRight(await get({ onProgress: (done) => seen.push(done) }))).toBe(true);
  expect(seen.at(-1)).toBe(artifact.size);
  expect(readdirSync(staging)).toHaveLength(1);
  await get();
  expect(mirror.asked).toEqual(["x.gz"]);
});

test.each(["", "file://"])("download() reads a directory, whose path has %p before it", async (before) => {
  expect(isRight(await get({}, `${before}${served}`))).toBe(true);
});

test("download() resumes after each cut, wherever it is", async () => {
  mirror.setFault((_, count) =>
    count < 8 ? { kind: "cut", afterBytes: 1 + ((count * 790_919) % 2_500_000) } : null,
  );
  const got = async (left: number): Promise<string> =>
    await get().catch((error: unknown) => {
      if (left > 0) return got(left - 1);
      throw error;
    });
  expect(isRight(await got(8))).toBe(true);
  expect(mirror.asked.some((each) => /^x\.gz bytes=\d+-$/.test(each))).toBe(true);
});

test("download() starts again if a mirror knows no ranges", async () => {
  mirror.setFault((_, count) => (count === 1 ? { kind: "cut", afterBytes: 500_000 } : { kind: "whole" }));
  expect(isRight(await get())).toBe(true);
});

test.each<[string, Parameters<StaticMirror["setFault"]>[0], string]>([
  ["is endless", () => ({ kind: "endless" }), "more than"],
  ["is longer than it should be", () => ({ kind: "length", bytes: artifact.size + 1 }), "more than"],
  ["ends too early", () => ({ kind: "length", bytes: 1000 }), "ends after 1000"],
  ["is another file of this length", () => ({ kind: "garbage" }), "its hash is another"],
  ["is not there", () => ({ kind: "status", status: 404 }), "answer is 404"],
  ["wants a proxy's password", () => ({ kind: "status", status: 407 }), "HTTPS_PROXY"],
  ["leads round in a circle", (path) => ({ kind: "redirect", to: `/${path}` }), "leads to"],
  ["leads to a file of this host", () => ({ kind: "redirect", to: "file:///etc/passwd" }), "leads to"],
  ["leads nowhere", () => ({ kind: "redirect", to: "http://" }), "leads to"],
])("download() refuses what %s, and keeps nothing of it that could be started", async (_, fault, why) => {
  mirror.setFault(fault);
  expect(await complaint(get())).toContain(why);
  expect(readdirSync(staging).filter((name) => name.endsWith(".executable"))).toEqual([]);
  mirror.setFault(() => null);
  expect(isRight(await get())).toBe(true);
});

test("download() follows a mirror that keeps large files elsewhere", async () => {
  await using other = await openStaticMirror(served);
  mirror.setFault(() => ({ kind: "redirect", to: `${other.url}/x.gz` }));
  expect(isRight(await get())).toBe(true);
});

test("download() gives up a mirror that stops sending", async () => {
  const settable = createSettableClock();
  mirror.setFault(() => ({ kind: "silent", afterBytes: 1000 }));
  const signal = new AbortController().signal;
  const source = openMirror({ url: mirror.url, http: openHttp({ clock }), files, clock: settable, signal });
  const asked = complaint(get({ mirror: source }));
  const ticking = setInterval(() => void settable.advance(10_000), 20);
  expect(await asked).toContain("nothing came for 30 s");
  clearInterval(ticking);
});

test("an archive that unpacks to more than was signed is stopped at that size", async () => {
  const bomb = gzipSync(Buffer.alloc(50_000_000));
  writeFileSync(join(served, "bomb.gz"), bomb);
  const small = { ...artifact, path: "bomb.gz", size: bomb.byteLength, sha256: hash(bomb) };
  expect(await complaint(get({ artifact: small }))).toContain("cannot be unpacked");
  expect(readdirSync(staging).filter((name) => name.endsWith(".executable"))).toEqual([]);
});

test("if nothing listens there, the message says where to look", async () => {
  await mirror[Symbol.asyncDispose]();
  expect(await complaint(get())).toContain("Nothing listens there");
  mirror = await openStaticMirror(served);
});

const failing = (code: string, call: keyof DurableFiles): DurableFiles => ({
  ...files,
  [call]: () => Promise.reject(Object.assign(new Error(`${code}: refused`), { code, syscall: "write" })),
});

test.each([
  ["ENOSPC", "The disk is full"],
  ["EROFS", "read-only"],
  ["EACCES", "owns the prefix"],
])("%s at any write is an error that says what to do", async (code, words) => {
  for (const call of ["makeDirectory", "openAt", "unpack"] as const) {
    rmSync(staging, { recursive: true });
    mkdirSync(staging);
    expect([call, await complaint(get({ files: failing(code, call) }))]).toEqual([
      call,
      expect.stringContaining(words),
    ]);
  }
});

test("a disk with too little room is noticed before anything is downloaded", async () => {
  const full = { ...files, freeBytes: () => Promise.resolve(10_000_000) };
  expect(await complaint(get({ files: full }))).toContain("10 MB free");
  expect(mirror.asked).toEqual([]);
});
