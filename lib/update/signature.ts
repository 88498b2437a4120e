/** Ed25519 signatures of a manifest's exact bytes. A prefix says what is signed, so that a signature fits nothing else. */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import trusted from "./trusted-keys.json" with { type: "json" };

declare const BUILD_TRUSTED_KEYS: string[] | undefined;

/** Public keys, as base64 of their SubjectPublicKeyInfo. There may be several, so that a key can be replaced. */
export const trustedKeys: readonly string[] =
  typeof BUILD_TRUSTED_KEYS === "undefined" ? trusted : BUILD_TRUSTED_KEYS;

const domain = new TextEncoder().encode("buildomat-factory-sp-test manifest\n");
const signed = (manifest: Uint8Array): Uint8Array => Buffer.concat([domain, manifest]);

/** The file `manifest.sig`: one line of base64 for each key. `privateKeys`: PEM. */
export function signManifest(manifest: Uint8Array, privateKeys: string[]): string {
  const lines = privateKeys.map((pem) =>
    sign(null, signed(manifest), createPrivateKey(pem)).toString("base64"),
  );
  return `${lines.join("\n")}\n`;
}

/** Whether any of `keys` signed these bytes. False also for a malformed key or signature. */
export function isSigned(manifest: Uint8Array, signature: Uint8Array, keys: readonly string[]): boolean {
  if (signature.byteLength > 4096) return false;
  const lines = new TextDecoder().decode(signature).split("\n").slice(0, 8);
  return keys.some((key) =>
    lines.some((line) => {
      try {
        const publicKey = publicKeyOf(key);
        if (publicKey.asymmetricKeyType !== "ed25519") return false;
        return verify(null, signed(manifest), publicKey, Buffer.from(line, "base64"));
      } catch {
        return false;
      }
    }),
  );
}

const publicKeyOf = (key: string): KeyObject =>
  createPublicKey({ key: Buffer.from(key, "base64"), format: "der", type: "spki" });
