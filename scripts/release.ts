/**
 * `bun scripts/release.ts DIRECTORY --key FILE`: a release that any static server, directory or stick serves.
 * `bun scripts/release.ts keys new FILE` makes the key that signs it, and trusts it in lib/update/trusted-keys.json.
 */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import own from "../package.json" with { type: "json" };
import { tables } from "../lib/store/file.ts";
import {
  type Artifact,
  faultIn,
  type Manifest,
  manifestText,
  type Release,
  spec,
} from "../lib/update/manifest.ts";
import { signManifest } from "../lib/update/signature.ts";
import { compareVersions } from "../lib/update/version-order.ts";
import { buildExecutable, commit, runtimes } from "./build.ts";

const root = join(import.meta.dir, "..");
const trustedKeys = join(root, "lib/update/trusted-keys.json");
/** How many older releases stay on offer, for `update --to`. */
const olderOffered = 5;
const dayMs = 86_400_000;

export interface ReleaseOptions {
  directory: string;
  /** Null: builds nothing, and offers the existing releases with `revoke` and `floor`. */
  version: string | null;
  /** The commit of what is built; this checkout's if absent. */
  commit?: string;
  targets: string[];
  /** PEM. */
  privateKeys: string[];
  channel: string;
  issuedMs: number;
  expiresDays: number;
  floor: string | null;
  revoke: { version: string; reason: string }[];
  /** Makes an executable; if absent, it is built from this checkout. */
  build?(target: string, executable: string): Promise<unknown>;
}

const sha256 = (bytes: Uint8Array | string): string => createHash("sha256").update(bytes).digest("hex");

/** Adds a version to the directory and its manifest. */
export async function makeRelease(options: ReleaseOptions): Promise<Manifest> {
  const { directory, version, targets } = options;
  const before = readBefore(directory);
  if (version === null) return writeRelease(options, composeManifest(options, before, null));
  if (before?.releases.some((each) => each.version === version) === true) {
    throw new Error(`${version} is released already: a release is never changed`);
  }
  const added = { version, commit: options.commit ?? commit(), db: tables };
  // A manifest that no updater can read would stop the updates of all hosts, so check it before anything is built.
  const planned = targets.map((target): [string, Artifact] => [target, plan(target, version)]);
  composeManifest(options, before, { ...added, artifacts: Object.fromEntries(planned) });
  const artifacts: Record<string, Artifact> = {};
  for (const target of targets) artifacts[target] = await makeArtifact(target, version, options);
  return writeRelease(options, composeManifest(options, before, { ...added, artifacts }));
}

function writeRelease({ directory, version, privateKeys }: ReleaseOptions, manifest: Manifest): Manifest {
  const bytes = Buffer.from(manifestText(manifest));
  const revoked = manifest.revoked.map((each) => each.version);
  const offered = manifest.releases.find((each) =>
    version === null ? !revoked.includes(each.version) : each.version === version,
  );
  if (offered === undefined) rmSync(join(directory, "install.sh"), { force: true });
  else writeInstaller(directory, offered.version, offered.artifacts);
  // The manifest last: then everything that it names exists.
  publish(join(directory, "manifest.json"), bytes);
  publish(join(directory, "manifest.sig"), signManifest(bytes, privateKeys));
  writeSums(directory, manifest);
  return manifest;
}

/** Replaces a file by one rename: a server may be serving the directory, and the next release starts from these files. */
function publish(path: string, content: Uint8Array | string): void {
  writeFileSync(`${path}.new`, content);
  renameSync(`${path}.new`, path);
}

function composeManifest(
  { directory, channel, issuedMs, expiresDays, floor, revoke }: ReleaseOptions,
  before: Manifest | null,
  added: Release | null,
): Manifest {
  if (added === null && before === null)
    throw new Error(`Cannot revoke anything: ${directory} has no release`);
  const expires = new Date(issuedMs + expiresDays * dayMs);
  const manifest: Manifest = {
    spec,
    product: own.name,
    channel: added === null ? (before?.channel ?? channel) : channel,
    // Larger than all before it even if the directory is lost.
    sequence: Math.max((before?.sequence ?? 0) + 1, Math.floor(issuedMs / 1000)),
    issued: new Date(issuedMs).toISOString(),
    expires: expiresDays > 0 && !Number.isNaN(expires.getTime()) ? expires.toISOString() : "",
    floor: floor ?? before?.floor ?? "0.0.0",
    revoked: [...(before?.revoked ?? []), ...revoke],
    releases: [...(added === null ? [] : [added]), ...(before?.releases ?? [])]
      .toSorted((a, b) => compareVersions(b.version, a.version))
      .slice(0, olderOffered + 1),
  };
  const fault = faultIn(manifest);
  if (fault !== null) throw new Error(`Cannot write a manifest that no updater could read: ${fault}`);
  if (added !== null && before !== null && before.channel !== channel)
    throw new Error(
      `${directory} is of the channel ${before.channel}: ${channel} needs a directory of its own`,
    );
  return manifest;
}

/** Its size and hashes are not known before it is built. */
function plan(target: string, version: string): Artifact {
  const [size, hash] = [1, "0".repeat(64)];
  return { path: pathOf(target, version), size, sha256: hash, executable: { size, sha256: hash } };
}

const pathOf = (target: string, version: string): string => `${version}/${own.name}-${version}-${target}.gz`;

function readBefore(directory: string): Manifest | null {
  const path = join(directory, "manifest.json");
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Manifest) : null;
}

async function makeArtifact(
  target: string,
  version: string,
  { directory, build }: ReleaseOptions,
): Promise<Artifact> {
  const scratch = mkdtempSync(join(tmpdir(), "release-"));
  try {
    // The executable contains its own name, so that is the same for each release.
    const executable = join(scratch, own.name);
    if (build === undefined)
      await buildExecutable({ entry: join(root, "factory.ts"), executable, target, version });
    else await build(target, executable);
    const bytes = readFileSync(executable);
    // The header holds no time, so that the same executable is packed to the same bytes.
    const packed = gzipSync(bytes, { level: 6 });
    const path = pathOf(target, version);
    mkdirSync(join(directory, version), { recursive: true });
    writeFileSync(join(directory, path), packed);
    return {
      path,
      size: packed.byteLength,
      sha256: sha256(packed),
      executable: { size: bytes.byteLength, sha256: sha256(bytes) },
    };
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** Replaces the line `# @artifacts@` of scripts/install.sh with this release's target, path, size, hash and unpacked hash. */
function writeInstaller(directory: string, version: string, artifacts: Record<string, Artifact>): void {
  const template = join(root, "scripts/install.sh");
  if (!existsSync(template)) return;
  const rows = Object.entries(artifacts).map(([target, { path, size, sha256: hash, executable }]) =>
    [target, path, size, hash, executable.sha256].join(" "),
  );
  const filled = `version='${version}'\nartifacts='${rows.join("\n")}'`;
  const text = readFileSync(template, "utf8").replace(/^# @artifacts@$/m, () => filled);
  writeFileSync(join(directory, "install.sh"), text, { mode: 0o755 });
}

function writeSums(directory: string, { releases }: Manifest): void {
  const packed = releases.flatMap(({ artifacts }) => Object.values(artifacts).map(({ path }) => path));
  const paths = ["install.sh", "manifest.json", "manifest.sig", ...packed];
  const lines = paths
    .filter((path) => existsSync(join(directory, path)))
    .map((path) => `${sha256(readFileSync(join(directory, path)))}  ${path}\n`);
  writeFileSync(join(directory, "SHA256SUMS"), lines.join(""));
}

const publicKeyOf = (pem: string): string =>
  createPublicKey(createPrivateKey(pem)).export({ format: "der", type: "spki" }).toString("base64");

/** Writes a new private key to `path`, which must not exist, readable only by its owner, and adds the public one to `trusted`. */
export function makeKey(path: string, trusted: string): string {
  const { privateKey } = generateKeyPairSync("ed25519");
  const pem = privateKey.export({ format: "pem", type: "pkcs8" });
  if (resolve(path).startsWith(`${root}/`)) {
    throw new Error("A private key does not belong in the repository: name a file elsewhere");
  }
  if (existsSync(path))
    throw new Error(`${path} exists already, and a key is never replaced: name another file`);
  writeFileSync(path, pem, { mode: 0o600, flag: "wx" });
  const keys = [...(JSON.parse(readFileSync(trusted, "utf8")) as string[]), publicKeyOf(pem)];
  writeFileSync(trusted, `${JSON.stringify(keys, null, 2)}\n`);
  return publicKeyOf(pem);
}

/** PEM. */
function readKey(path: string): string {
  try {
    const pem = readFileSync(path, "utf8");
    publicKeyOf(pem);
    return pem;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot use the key ${path}: ${why}\n  \`release keys new FILE\` makes one`, {
      cause: error,
    });
  }
}

const usage = `Usage: release DIRECTORY --key FILE [flags]
  --key FILE          the private key that signs; may be repeated
  --targets A,B       what to build for (${Object.keys(runtimes).join(",")})
  --version V         the version (${own.version}, as in package.json)
  --channel NAME      the channel (stable)
  --revoke V          takes a version back; may be repeated. Builds nothing unless --version is given
  --because TEXT      why it is revoked, for the hosts' users
  --floor V           no host installs an older one. Builds nothing unless --version is given
  --expires-days N    after how many days hosts refuse the manifest as stale (90)
release keys new FILE     makes a key, and trusts it in lib/update/trusted-keys.json
release keys show [FILE]  shows the public keys that are trusted, or FILE's`;

async function main(words: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: words,
    allowPositionals: true,
    options: {
      key: { type: "string", multiple: true, default: [] },
      targets: { type: "string", default: Object.keys(runtimes).join(",") },
      version: { type: "string" },
      channel: { type: "string", default: "stable" },
      "expires-days": { type: "string", default: "90" },
      floor: { type: "string" },
      revoke: { type: "string", multiple: true, default: [] },
      help: { type: "boolean", short: "h" },
      because: { type: "string", default: "" },
    },
  });
  if (values.help === true) return console.log(usage);
  const [first, second, path] = positionals;
  if (first === "keys" && second === "show") {
    const keys =
      path === undefined ? JSON.parse(readFileSync(trustedKeys, "utf8")) : [publicKeyOf(readKey(path))];
    for (const key of keys as string[]) console.log(key);
    return;
  }
  if (first === "keys" && second === "new" && path !== undefined) {
    console.log(
      `${makeKey(path, trustedKeys)}\nis trusted by builds from now on: commit lib/update/trusted-keys.json`,
    );
    console.log(`Keep ${path}: without it no release can be signed. Anybody who has it can sign one.`);
    return;
  }
  if (first === undefined || first === "keys" || values.key.length === 0) {
    throw new Error(usage);
  }
  const [revoked] = values.revoke;
  if (revoked !== undefined && values.because.trim() === "") {
    throw new Error(`Add --because TEXT: hosts show their users why ${revoked} is revoked`);
  }
  const privateKeys = values.key.map(readKey);
  const trusted = JSON.parse(readFileSync(trustedKeys, "utf8")) as string[];
  if (!privateKeys.map(publicKeyOf).some((key) => trusted.includes(key))) {
    throw new Error(
      "This build would not trust the key: `keys new` adds one to lib/update/trusted-keys.json",
    );
  }
  const isNew = values.version !== undefined || (values.revoke.length === 0 && values.floor === undefined);
  if (isNew && commit().endsWith("-dirty"))
    console.error("Warning: this tree differs from its commit, and the release says so");
  mkdirSync(first, { recursive: true });
  const epoch = process.env["SOURCE_DATE_EPOCH"];
  const manifest = await makeRelease({
    directory: first,
    version: isNew ? (values.version ?? own.version) : null,
    targets: values.targets.split(","),
    privateKeys,
    channel: values.channel,
    issuedMs: epoch === undefined ? Math.floor(Date.now() / 1000) * 1000 : Number(epoch) * 1000,
    expiresDays: Number(values["expires-days"]),
    floor: values.floor ?? null,
    revoke: values.revoke.map((version) => ({ version, reason: values.because })),
  });
  const built = isNew ? manifest.releases[0]?.artifacts : undefined;
  for (const { path: name, size } of Object.values(built ?? {})) {
    console.log(`${join(first, name)}  ${(size / 1e6).toFixed(1)} MB`);
  }
  console.log(`${join(first, "manifest.json")}  ${statSync(join(first, "manifest.json")).size} bytes`);
}

if (import.meta.main) {
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  }
}
