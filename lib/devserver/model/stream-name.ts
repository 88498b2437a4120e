/** Which names of event streams the server accepts, and how it refuses others. It accepts an empty name. */
import { badRequest } from "./exchange.ts";

const longestBytes = 64;

/** Throws the server's refusal. */
export function requireStreamName(name: string): void {
  const shown = JSON.stringify(name);
  if (Buffer.byteLength(name) > longestBytes) {
    throw badRequest(`stream name ${shown} is longer than ${longestBytes} bytes`);
  }
  const [bad] = /[^A-Za-z0-9._-]/u.exec(name) ?? [];
  if (bad !== undefined) throw badRequest(`invalid char '${bad}' in stream name ${shown}`);
}
