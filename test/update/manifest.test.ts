/** Hostile manifests by TUF's list of attacks, with and without a trusted signature. */
import { expect, test } from "bun:test";
import { generateKeyPairSync, sign } from "node:crypto";
import { version } from "../../lib/words/version.ts";
import {
  type Choosing,
  chooseRelease,
  type Manifest,
  manifestText,
  type ReadingManifest,
  readManifest,
} from "../../lib/update/manifest.ts";
import { signManifest } from "../../lib/update/signature.ts";
import { compareVersions } from "../../lib/update/version-order.ts";

function keyPair(): { public: string; private: string } {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  return {
    public: publicKey.export({ format: "der", type: "spki" }).toString("base64"),
    private: privateKey.export({ format: "pem", type: "pkcs8" }),
  };
}

const [ours, next, theirs] = [keyPair(), keyPair(), keyPair()];
const sha256 = "0".repeat(64);
const artifact = { path: "1.1.0/x.gz", size: 1000, sha256, executable: { size: 3000, sha256 } };

const releaseOf = (name: string): Manifest["releases"][number] => ({
  version: name,
  commit: "0a1b2c3d4e5f",
  db: { writes: 6, reads: 6 },
  artifacts: { "linux-x64": artifact },
});

const honest: Manifest = {
  spec: 1,
  product: version.product,
  channel: "stable",
  sequence: 10,
  issued: "2026-11-01T00:00:00.000Z",
  expires: "2027-02-01T00:00:00.000Z",
  floor: "1.0.0",
  revoked: [],
  releases: [releaseOf("1.1.0"), releaseOf("1.0.0")],
};

function read(text: string, changes: Partial<ReadingManifest> = {}): string {
  const manifest = new TextEncoder().encode(text);
  const result = readManifest({
    manifest,
    signature: new TextEncoder().encode(signManifest(manifest, [ours.private])),
    keys: [ours.public],
    channel: "stable",
    lastSequence: 10,
    wallMs: Date.parse("2026-11-28T12:00:00Z"),
    ...changes,
  });
  return result.ok ? "believed" : result.refusal;
}

const text = manifestText(honest);
const withField = (field: object): string => manifestText({ ...honest, ...field });
const withArtifact = (field: object): string =>
  withField({ releases: [{ ...releaseOf("1.1.0"), artifacts: { "linux-x64": { ...artifact, ...field } } }] });

test("an honest manifest is believed, also a second time, and with the next key", () => {
  expect(read(text)).toBe("believed");
  const manifest = new TextEncoder().encode(text);
  const both = new TextEncoder().encode(signManifest(manifest, [ours.private, next.private]));
  expect(read(text, { signature: both, keys: [next.public] })).toBe("believed");
  expect(read(text, { signature: both, keys: [theirs.public, ours.public] })).toBe("believed");
});

test.each<[string, string, string]>([
  ["a roll-back: yesterday's manifest", withField({ sequence: 9 }), "older manifest"],
  ["a freeze: a manifest that expired", withField({ expires: "2026-11-28T11:59:59.000Z" }), "expired"],
  [
    "a manifest of next month: the clock is wrong",
    withField({ issued: "2026-12-20T00:00:00.000Z" }),
    "clock",
  ],
  ["another product", withField({ product: "buildomat-agent" }), "other product"],
  ["another channel", withField({ channel: "edge" }), "other channel"],
  ["a form that comes later", text.replace('"spec": 1', '"spec": 2').replace("{", '{\n "more": 1,'), "spec"],
  ["a form before the first", text.replace('"spec": 1', '"spec": 0'), "form"],
  ["a key that nobody knows", withField({ more: 1 }), "form"],
  ["a key twice", text.replace('"sequence": 10', '"sequence": 10,\n "sequence": 11'), "form"],
  ["a key twice, spelled otherwise", text.replace('"floor"', '"fl\\u006for": "0.0.1",\n "floor"'), "form"],
  ["a prototype for a key", text.replace('"floor"', '"__proto__": {"spec": 1},\n "floor"'), "form"],
  ["a number that is not safe", text.replace('"sequence": 10', '"sequence": 9007199254740993'), "form"],
  ["an endless number", text.replace('"sequence": 10', '"sequence": 1e999'), "form"],
  ["a number in another form", text.replace('"sequence": 10', '"sequence": 1e1'), "form"],
  ["a negative number", withField({ sequence: -1 }), "form"],
  ["endless data: an artifact over the cap", withArtifact({ size: 200_000_001 }), "form"],
  ["an executable over the cap", withArtifact({ executable: { size: 400_000_001, sha256 } }), "form"],
  ["nothing for an artifact", withArtifact({ size: 0 }), "form"],
  ["a hash that is not one", withArtifact({ sha256: "0".repeat(63) }), "form"],
  ["a path upward", withArtifact({ path: "../../etc/passwd" }), "form"],
  ["a path upward in the middle", withArtifact({ path: "a/../b" }), "form"],
  ["an absolute path", withArtifact({ path: "/etc/passwd" }), "form"],
  ["another host for a path", withArtifact({ path: "//evil.example/x" }), "form"],
  ["a URL for a path", withArtifact({ path: "https://evil.example/x" }), "form"],
  ["a path with a backslash", withArtifact({ path: "a\\..\\b" }), "form"],
  ["a path that is encoded", withArtifact({ path: "%2e%2e/x" }), "form"],
  ["a version that is a path", withField({ releases: [releaseOf("1.0.0/../..")] }), "form"],
  ["no releases", withField({ releases: [] }), "form"],
  ["a date that is not one", withField({ expires: "never" }), "form"],
  ["deep nesting", "[".repeat(100_000), "form"],
  ["no text at all", "", "form"],
  ["a text that is cut short", text.slice(0, -20), "form"],
  ["a byte order mark", `\uFEFF${text}`, "form"],
  ["more bytes than a manifest has", text + " ".repeat(300_000), "signature"],
])("readManifest() refuses %s", (_, hostile, refusal) => {
  expect(read(hostile)).toBe(refusal);
});

test("readManifest() refuses any other signature, and never throws", () => {
  const manifest = new TextEncoder().encode(text);
  const good = signManifest(manifest, [ours.private]);
  const other = signManifest(new TextEncoder().encode(`${text} `), [ours.private]);
  const wrong = [
    "",
    "\n",
    good.slice(0, 40),
    other,
    signManifest(manifest, [theirs.private]),
    "\0".repeat(90),
    "A".repeat(5000),
  ];
  for (const signature of wrong) {
    expect(read(text, { signature: new TextEncoder().encode(signature) })).toBe("signature");
  }
  for (const key of ["", "not a key", theirs.public, ours.public.slice(0, 20)]) {
    expect(read(text, { keys: [key] })).toBe("signature");
  }
  expect(read(text, { keys: [] })).toBe("no key");
});

test("a good signature is found among the first eight lines of at most 4096 bytes", () => {
  const good = signManifest(new TextEncoder().encode(text), [ours.private]);
  const after = (lines: number, before = ""): string =>
    read(text, { signature: new TextEncoder().encode(`${before}\n`.repeat(lines) + good) });
  expect([after(7), after(8)]).toEqual(["believed", "signature"]);
  expect([after(1, "x".repeat(3900)), after(1, "x".repeat(4096))]).toEqual(["believed", "signature"]);
});

test("a signature of the bytes without the prefix, for another purpose, is refused", () => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");

  const signature = sign(null, Buffer.from(text), privateKey).toString("base64");
  const keys = [publicKey.export({ format: "der", type: "spki" }).toString("base64")];
  expect(read(text, { keys, signature: new TextEncoder().encode(signature) })).toBe("signature");
});

function choose(changes: Partial<Choosing> = {}, manifest: Partial<Manifest> = {}): string | null {
  const judged = chooseRelease(
    { ...honest, ...manifest },
    {
      running: "1.0.0",
      target: "linux-x64",
      database: { least: 2, knows: 6 },
      wanted: null,
      allowDowngrade: false,
      isBad: () => false,
      ...changes,
    },
  );
  if (!judged.ok) return judged.refusal;
  return judged.value?.release.version ?? null;
}

test.each<[string, Partial<Choosing>, Partial<Manifest>, string | null]>([
  ["the newest", {}, {}, "1.1.0"],
  ["nothing: the newest runs", { running: "1.1.0" }, {}, null],
  ["nothing: a newer one than the newest runs", { running: "1.2.0" }, {}, null],
  ["nothing that is older, though asked for", { running: "1.1.0", wanted: "1.0.0" }, {}, "downgrade"],
  [
    "an older version, if that is allowed",
    { running: "1.1.0", wanted: "1.0.0", allowDowngrade: true },
    {},
    "1.0.0",
  ],
  ["nothing below the floor", { running: "0.9.0", wanted: "1.0.0" }, { floor: "1.0.1" }, "downgrade"],
  [
    "the newest that is not revoked",
    { running: "0.9.0" },
    { revoked: [{ version: "1.1.0", reason: "x" }] },
    "1.0.0",
  ],
  [
    "nothing that is revoked, even if a downgrade is allowed",
    { running: "1.1.0", wanted: "1.0.0", allowDowngrade: true },
    { revoked: [{ version: "1.0.0", reason: "x" }] },
    "revoked",
  ],
  [
    "F115 nothing for a host that runs what was revoked, and says so",
    { running: "1.1.0" },
    { revoked: [{ version: "1.1.0", reason: "x" }] },
    "revoked",
  ],
  [
    "the newer one for a host that runs what was revoked",
    {},
    { revoked: [{ version: "1.0.0", reason: "x" }] },
    "1.1.0",
  ],
  ["nothing that was rolled back here", { isBad: (name) => name === "1.1.0" }, {}, "bad"],
  ["nothing that it does not have", { wanted: "3.0.0" }, {}, "no such version"],
  ["nothing for another target", { target: "linux-arm64" }, {}, "target"],
  ["nothing for a target that is a name of JavaScript's", { target: "constructor" }, {}, "target"],
  ["nothing that cannot open the database", { database: { least: 7, knows: 7 } }, {}, "database"],
  ["what just knows the database", { database: { least: 6, knows: 6 } }, {}, "1.1.0"],
  ["nothing by itself that cannot be rolled back", { database: { least: 2, knows: 5 } }, {}, "one way"],
  [
    "a version that cannot be rolled back, if asked for",
    { database: { least: 2, knows: 5 }, wanted: "1.1.0" },
    {},
    "1.1.0",
  ],
])("chooseRelease() takes %s", (_, choosing, manifest, expected) => {
  expect(choose(choosing, manifest)).toBe(expected);
});

test("versions are ordered by their numbers, a pre-release before its release", () => {
  const order = ["0.9.0", "1.0.0-rc.2", "1.0.0-rc.10", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "10.0.0"];
  expect(order.toReversed().toSorted(compareVersions)).toEqual(order);
});
