/** Which build this is. scripts/build.ts compiles the values in; a run from source has `development`. */
import manifest from "../../package.json" with { type: "json" };

declare const BUILD_COMMIT: string | undefined;
declare const BUILD_VERSION: string | undefined;
declare const BUILD_TARGET: string | undefined;

export interface Version {
  product: string;
  version: string;
  /** The commit's hash, with `-dirty` if the tree had changes; `development` if run from source. */
  commit: string;
  /** For example `linux-x64`; `development` if run from source. */
  target: string;
}

export const version: Version = {
  product: manifest.name,
  version: typeof BUILD_VERSION === "string" ? BUILD_VERSION : manifest.version,
  commit: typeof BUILD_COMMIT === "string" ? BUILD_COMMIT : "development",
  target: typeof BUILD_TARGET === "string" ? BUILD_TARGET : "development",
};

/** Product, version, commit and target, on one line. */
export function versionLine(): string {
  return `${version.product} ${version.version} (${version.commit}, ${version.target})`;
}
