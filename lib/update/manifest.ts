/**
 * The manifest: what a mirror offers, and whether to believe it. Pure. A mirror is not trusted: it can only withhold what was
 * signed, which shows by the manifest's number and date.
 */
import { z } from "zod";
import { version as own } from "../words/version.ts";
import { isVersionName } from "./places.ts";
import { isSigned } from "./signature.ts";
import { compareVersions } from "./version-order.ts";

export const spec = 1;
export const mostManifestBytes = 262_144;
/** An executable has 113 MB, packed 53 MB. These limits stop a mirror that never ends. */
const mostPackedBytes = 200_000_000;
const mostUnpackedBytes = 400_000_000;
/** A host's clock, or its time zone, may be wrong by this much. */
const clockToleranceMs = 36 * 3_600_000;

const versionName = z.string().refine(isVersionName);
const moment = z.iso.datetime();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = (most: number) => z.number().int().min(0).max(most);
/** Relative to the manifest. */
const path = z.string().regex(/^(?!.*\.\.)[0-9A-Za-z][\w.+-]*(?:\/[0-9A-Za-z][\w.+-]*){0,3}$/);

const artifactSchema = z.strictObject({
  path,
  size: count(mostPackedBytes).min(1),
  sha256,
  executable: z.strictObject({ size: count(mostUnpackedBytes).min(1), sha256 }),
});
const releaseSchema = z.strictObject({
  version: versionName,
  commit: z.string().regex(/^[0-9A-Za-z-]{1,64}$/),
  /** Versions of the database's tables: the one it migrates a file to, and the one a program must know to open that file. */
  db: z.strictObject({ writes: count(10_000), reads: count(10_000) }),
  artifacts: z.record(z.string().regex(/^[a-z0-9-]{1,32}$/), artifactSchema),
});
const manifestSchema = z.strictObject({
  spec: z.literal(spec),
  product: z.string(),
  channel: z.string().regex(/^[a-z0-9-]{1,32}$/),
  /** Each manifest of a channel has a larger one than those before it. */
  sequence: count(Number.MAX_SAFE_INTEGER),
  issued: moment,
  expires: moment,
  /** Nothing older is installed. */
  floor: versionName,
  revoked: z.array(z.strictObject({ version: versionName, reason: z.string().max(500) })).max(1000),
  releases: z.array(releaseSchema).min(1).max(100),
});

export type Artifact = z.output<typeof artifactSchema>;
export type Release = z.output<typeof releaseSchema>;
export type Manifest = z.output<typeof manifestSchema>;

/** What an updater would refuse in it; null: nothing. */
export function faultIn(manifest: Manifest): string | null {
  const issue = manifestSchema.safeParse(manifest).error?.issues[0];
  return issue === undefined ? null : `${issue.path.join(".")}: ${issue.message}`;
}

/** The only form of a manifest. Any other text, for example one with a key twice, is refused. */
export const manifestText = (manifest: Manifest): string => `${JSON.stringify(manifest, null, 1)}\n`;

/** Of a manifest, or of a release in it. */
export type ManifestRefusal =
  | "no key"
  | "signature"
  | "spec"
  | "form"
  | "other product"
  | "other channel"
  | "older manifest"
  | "expired"
  | "clock"
  | ReleaseRefusal;
type ReleaseRefusal = "no such version" | "revoked" | "downgrade" | "bad" | "target" | "one way" | "database";

export type Judged<T> = { ok: true; value: T } | { ok: false; refusal: ManifestRefusal; reason: string };

const refuse = (refusal: ManifestRefusal, reason: string): Judged<never> => ({ ok: false, refusal, reason });

export interface ReadingManifest {
  manifest: Uint8Array;
  signature: Uint8Array;
  keys: readonly string[];
  channel: string;
  /** The largest number of a manifest that was believed. */
  lastSequence: number;
  wallMs: number;
}

export function readManifest(reading: ReadingManifest): Judged<Manifest> {
  const { manifest: bytes, signature, keys, channel, lastSequence, wallMs } = reading;
  if (keys.length === 0) return refuse("no key", "this build trusts no key that could sign a release");
  if (bytes.byteLength > mostManifestBytes || !isSigned(bytes, signature, keys)) {
    return refuse("signature", "its manifest is not signed by a key that this build trusts");
  }
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  const value = parse(text);
  const its = z.looseObject({ spec: z.number() }).safeParse(value);
  if (its.success && its.data.spec > spec) {
    return refuse("spec", `its manifest has form ${its.data.spec}, which this version does not know`);
  }
  const parsed = manifestSchema.safeParse(value);
  if (!parsed.success || manifestText(parsed.data) !== text) {
    const issue = parsed.error?.issues[0];
    const where =
      issue === undefined ? "its text has another form" : `${issue.path.join(".")}: ${issue.message}`;
    return refuse("form", `its manifest cannot be used: ${where}`);
  }
  const manifest = parsed.data;
  if (manifest.product !== own.product) return refuse("other product", `it offers ${manifest.product}`);
  if (manifest.channel !== channel) {
    return refuse("other channel", `its channel is ${manifest.channel}, and ${channel} is configured`);
  }
  if (manifest.sequence < lastSequence) {
    return refuse(
      "older manifest",
      `its manifest (${manifest.issued}) is older than one that was seen before`,
    );
  }
  if (Date.parse(manifest.issued) > wallMs + clockToleranceMs) {
    const here = new Date(wallMs).toISOString();
    return refuse("clock", `its manifest is of ${manifest.issued}, but this host's clock says ${here}`);
  }
  if (Date.parse(manifest.expires) < wallMs) {
    return refuse(
      "expired",
      `its manifest expired at ${manifest.expires}: the mirror is stale, or the clock is wrong`,
    );
  }
  return { ok: true, value: manifest };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export interface Choosing {
  running: string;
  /** As in version.ts. */
  target: string;
  /** The tables' version that a program must know to open the database as it is, and the one the running version knows. */
  database: { least: number; knows: number };
  /** Only this one; null: the newest. */
  wanted: string | null;
  allowDowngrade: boolean;
  isBad(version: string): boolean;
}

/** What to install; null: the running version is the right one. */
export function chooseRelease(
  { releases, revoked, floor }: Manifest,
  { running, target, database, wanted, allowDowngrade, isBad }: Choosing,
): Judged<{ release: Release; artifact: Artifact } | null> {
  const reasonOf = new Map(revoked.map(({ version, reason }) => [version, reason]));
  const offered = releases
    .filter(({ version }) => wanted === version || (wanted === null && !reasonOf.has(version)))
    .toSorted((a, b) => compareVersions(b.version, a.version));
  const [release] = offered;
  if (release === undefined)
    return refuse("no such version", `it has no version ${wanted ?? "that is not revoked"}`);
  const { version } = release;
  if (version === running) return { ok: true, value: null };
  const why = reasonOf.get(version);
  if (why !== undefined) return refuse("revoked", `${version} was revoked: ${why}`);
  const least = compareVersions(running, floor) > 0 ? running : floor;
  if (!allowDowngrade && compareVersions(version, least) < 0) {
    const whyNotThis = reasonOf.get(running);
    if (wanted === null && whyNotThis !== undefined) {
      const how = `update --to ${version} --allow-downgrade installs the one before`;
      return refuse("revoked", `${running}, which runs here, was revoked: ${whyNotThis}; ${how}`);
    }
    // This host may run a build of its own that is newer than all of the mirror's releases.
    if (wanted === null) return { ok: true, value: null };
    return refuse("downgrade", `${version} is older than ${least}; --allow-downgrade installs it`);
  }
  if (isBad(version)) {
    return refuse("bad", `${version} was rolled back on this host; it is tried again only with --retry`);
  }
  if (wanted === null && release.db.reads > database.knows) {
    const how = `update --to ${version} installs it`;
    return refuse(
      "one way",
      `${version} changes the database so that ${running} cannot open it again; ${how}`,
    );
  }
  if (release.db.writes < database.least) {
    return refuse("database", `${version} cannot open this factory's database, which a newer version wrote`);
  }
  const artifact = Object.hasOwn(release.artifacts, target) ? release.artifacts[target] : undefined;
  if (artifact === undefined) {
    const has = Object.keys(release.artifacts).join(", ");
    return refuse("target", `${version} has no executable for ${target}, only for ${has}`);
  }
  return { ok: true, value: { release, artifact } };
}
