/** scripts/release.ts: a directory that any static server serves, and that openssl, sha256sum and gunzip agree with. */
import { afterAll, expect, test } from "bun:test";
import { createHash, generateKeyPairSync } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readManifest } from "../../lib/update/manifest.ts";
import { testWith } from "../lab/needs.ts";
import { makeKey, makeRelease, type ReleaseOptions } from "../../scripts/release.ts";

const scratch = mkdtempSync(join(tmpdir(), "release-test-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const pair = generateKeyPairSync("ed25519");
const key = pair.publicKey.export({ format: "der", type: "spki" }).toString("base64");
const issuedMs = Date.parse("2026-11-28T00:00:00Z");

async function release(changes: Partial<ReleaseOptions> = {}): Promise<string> {
  const directory = changes.directory ?? mkdtempSync(join(scratch, "dir-"));
  await makeRelease({
    directory,
    version: "1.0.0",
    commit: "0a1b2c3d4e5f",
    targets: ["linux-x64", "darwin-arm64"],
    privateKeys: [pair.privateKey.export({ format: "pem", type: "pkcs8" })],
    channel: "stable",
    issuedMs,
    expiresDays: 90,
    floor: null,
    revoke: [],
    build: async (target, executable) =>
      await Bun.write(executable, `executable for ${target} `.repeat(1000)),
    ...changes,
  });
  return directory;
}

const read = (directory: string, wallMs = issuedMs): ReturnType<typeof readManifest> =>
  readManifest({
    manifest: readFileSync(join(directory, "manifest.json")),
    signature: readFileSync(join(directory, "manifest.sig")),
    keys: [key],
    channel: "stable",
    lastSequence: 0,
    wallMs,
  });

const sh = (directory: string, script: string): { exitCode: number; said: string } => {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["sh", "-ec", script], { cwd: directory });
  return { exitCode, said: `${stdout.toString()}${stderr.toString()}` };
};

testWith("openssl")(
  "a release is believed by the program, and by sha256sum, gunzip and openssl",
  async () => {
    const directory = await release();
    const manifest = read(directory);
    if (!manifest.ok) throw new Error(manifest.reason);
    const { artifacts } = manifest.value.releases[0]!;
    expect(sh(directory, "sha256sum -c SHA256SUMS")).toMatchObject({ exitCode: 0 });
    const { path, executable } = artifacts["linux-x64"]!;
    const unpacked = Bun.gunzipSync(readFileSync(join(directory, path)));
    expect(unpacked.byteLength).toBe(executable.size);
    expect(createHash("sha256").update(unpacked).digest("hex")).toBe(executable.sha256);
    writeFileSync(join(directory, "key.pem"), pair.publicKey.export({ format: "pem", type: "spki" }));
    const verify = `{ echo 'buildomat-factory-sp-test manifest'; cat manifest.json; } > signed
    head -n 1 manifest.sig | openssl base64 -d -A > signature
    openssl pkeyutl -verify -rawin -pubin -inkey key.pem -in signed -sigfile signature`;
    expect(sh(directory, verify)).toMatchObject({
      exitCode: 0,
      said: expect.stringContaining("Successfully"),
    });
  },
);

test("the same executables at the same time make the same release, byte for byte", async () => {
  const [one, other] = [await release(), await release()];
  expect(sh(scratch, `diff -r ${one} ${other}`)).toEqual({ exitCode: 0, said: "" });
});

test("the next release comes first in the manifest, with a larger number, also at the same moment", async () => {
  const directory = await release();
  const before = read(directory);
  await release({ directory, version: "1.1.0", revoke: [{ version: "1.0.0", reason: "it loses logs" }] });
  const after = read(directory);
  if (!before.ok || !after.ok) throw new Error("not believed");
  expect(after.value.sequence).toBe(before.value.sequence + 1);
  expect(after.value.releases.map(({ version }) => version)).toEqual(["1.1.0", "1.0.0"]);
  expect(after.value.revoked).toEqual([{ version: "1.0.0", reason: "it loses logs" }]);
  expect(sh(directory, "sha256sum -c SHA256SUMS")).toMatchObject({ exitCode: 0 });
});

test("a version is never released twice", async () => {
  const directory = await release();
  const again = release({ directory });
  expect(again).rejects.toThrow("released already");
});

test.each([
  ["a version that is not three numbers", { version: "banana" }],
  ["a version that cannot be part of a path", { version: "1.2.0-a..b" }],
  ["a floor that is not a version", { version: "1.2.0", floor: "1.2" }],
  ["a revoked version that is not one", { version: "1.2.0", revoke: [{ version: "v1", reason: "" }] }],
  ["a channel that no updater knows", { version: "1.2.0", channel: "Not a channel" }],
  ["a life that is over at once", { version: "1.2.0", expiresDays: 0 }],
  ["a life that is not a number", { version: "1.2.0", expiresDays: Number.NaN }],
])("%s is refused before anything is built, and the directory stays as it is", async (_, changes) => {
  const directory = await release();
  const before = sh(directory, "find . -type f -exec sha256sum {} +").said;
  const build = (): Promise<never> => Promise.reject(new Error("it was built"));
  expect(release({ directory, build, ...changes })).rejects.toThrow("no updater could read");
  expect(sh(directory, "find . -type f -exec sha256sum {} +").said).toBe(before);
  expect(read(directory)).toMatchObject({ ok: true });
});

test("a version is revoked and a floor is set without a new release, and install.sh installs what is left", async () => {
  const directory = await release({ channel: "beta" });
  await release({ directory, version: "1.1.0", channel: "beta" });
  const build = (): Promise<never> => Promise.reject(new Error("it was built"));
  const revoke = [{ version: "1.1.0", reason: "it loses logs" }];
  await release({ directory, version: null, build, revoke, floor: "0.9.0" });
  const manifest = JSON.parse(readFileSync(join(directory, "manifest.json"), "utf8"));
  expect(manifest).toMatchObject({ channel: "beta", revoked: revoke, floor: "0.9.0" });
  expect(manifest.releases.map(({ version }: { version: string }) => version)).toEqual(["1.1.0", "1.0.0"]);
  expect(read(directory)).toMatchObject({ refusal: "other channel" });
  expect(readFileSync(join(directory, "install.sh"), "utf8")).toContain("version='1.0.0'");
  expect(sh(directory, "sha256sum -c SHA256SUMS")).toMatchObject({ exitCode: 0 });
});

test("a directory is of one channel: hosts of it would refuse another one's manifest", async () => {
  const directory = await release({});
  expect(release({ directory, version: "1.1.0", channel: "beta" })).rejects.toThrow(
    "is of the channel stable",
  );
  expect(read(directory)).toMatchObject({ ok: true });
});

test("if all releases are revoked, nothing can be installed", async () => {
  const directory = await release();
  await release({ directory, version: null, revoke: [{ version: "1.0.0", reason: "it loses logs" }] });
  expect(read(directory)).toMatchObject({ ok: true });
  expect(existsSync(join(directory, "install.sh"))).toBe(false);
  expect(sh(directory, "sha256sum -c SHA256SUMS")).toMatchObject({ exitCode: 0 });
});

test("nothing is revoked in a directory without a release", async () => {
  const directory = mkdtempSync(join(scratch, "dir-"));
  expect(release({ directory, version: null, floor: "1.0.0" })).rejects.toThrow("has no release");
});

test("makeKey() writes a private key that only its owner can read, outside the repository, and never replaces one", () => {
  const trusted = join(scratch, "trusted.json");
  writeFileSync(trusted, "[]\n");
  const path = join(scratch, "signing.pem");
  const made = makeKey(path, trusted);
  expect(JSON.parse(readFileSync(trusted, "utf8"))).toEqual([made]);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(() => makeKey(path, trusted)).toThrow("exists already");
  const inside = join(import.meta.dir, "signing.pem");
  expect(() => makeKey(inside, trusted)).toThrow("does not belong");
  expect(existsSync(inside)).toBe(false);
  expect(JSON.parse(readFileSync(trusted, "utf8"))).toEqual([made]);
});

const script = join(import.meta.dir, "../../scripts/release.ts");
const called = (...words: string[]): { exitCode: number; said: string } => {
  const ran = Bun.spawnSync([process.execPath, script, ...words], { cwd: scratch });
  return { exitCode: ran.exitCode, said: `${ran.stdout.toString()}${ran.stderr.toString()}` };
};

test("--help shows every flag", () => {
  const { exitCode, said } = called("--help");
  expect(exitCode).toBe(0);
  for (const flag of ["key", "targets", "version", "channel", "revoke", "because", "floor", "expires-days"])
    expect(said).toContain(`--${flag} `);
});

test("a version is not revoked without a reason", async () => {
  const directory = await release();
  const path = join(scratch, "any.pem");
  writeFileSync(path, pair.privateKey.export({ format: "pem", type: "pkcs8" }));
  const why = [[], ["--because", " "]];
  for (const words of why) {
    const { exitCode, said } = called(directory, "--key", path, "--revoke", "1.0.0", ...words);
    expect(exitCode).toBe(1);
    expect(said).toContain("--because");
    expect(said).toContain("why 1.0.0 is revoked");
  }
  expect(read(directory)).toMatchObject({ value: { revoked: [] } });
});

test("a key file that cannot be read or holds no key is named, with what to do", () => {
  const other = join(scratch, "not-a-key.pem");
  writeFileSync(other, "x");
  for (const path of ["/nowhere/key.pem", other]) {
    const { exitCode, said } = called(join(scratch, "none"), "--key", path);
    expect(exitCode).toBe(1);
    expect(said).toContain(`Cannot use the key ${path}`);
    expect(said).toContain("keys new");
  }
  expect(existsSync(join(scratch, "none"))).toBe(false);
});
