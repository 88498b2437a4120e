/** `bmat store`: values that a job's tasks keep on the server. */
import { type Bmat, type BmatCommand, request, unexpected } from "./command.ts";
import type { Options } from "./options.ts";
import { debugText } from "../os-error.ts";

/** Asked again this often while a value is not there yet. */
const pollMs = 2000;

export const storeCommands: Record<string, BmatCommand> = {
  get: {
    usage: "[-W] NAME",
    flags: { W: "alone" },
    takes: [1, 1, "specify name of value to fetch from store"],
    run: getValue,
  },
  put: {
    usage: "[-s] NAME [VALUE]",
    flags: { s: "alone" },
    takes: [1, 2, "specify name of value, and value, to put in store"],
    run: putValue,
  },
};

async function getValue({ args: [name], flags }: Options, { client, clock }: Bmat): Promise<void> {
  let hasWarned = false;
  for (;;) {
    const reply = await request(client, { StoreGet: name as string });
    if (typeof reply !== "object" || !("StoreGetResult" in reply)) throw unexpected(reply);
    const found = reply.StoreGetResult;
    if (found !== null) {
      await Bun.write(Bun.stdout, found.value.endsWith("\n") ? found.value : `${found.value}\n`);
      return;
    }
    const absent = `no value for ${debugText(name as string)}`;
    if (flags.has("W")) throw new Error(`the store has ${absent}`);
    if (!hasWarned) {
      await Bun.write(Bun.stderr, `WARNING: job store has ${absent}; waiting for a value...\n`);
    }
    hasWarned = true;
    await clock.sleep(pollMs);
  }
}

async function putValue({ args: [name, value], flags }: Options, { client }: Bmat): Promise<void> {
  const text = value ?? withoutLastNewline(await readStdin());
  const reply = await request(client, { StorePut: [name as string, text, flags.has("s")] });
  if (reply !== "Ack") throw unexpected(reply);
}

/** The server takes 10 KiB; more is read only so that the user gets the server's own error. */
const longestStdinBytes = 256 * 1024;

async function readStdin(): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of Bun.stdin.stream()) {
    parts.push(part);
    length += part.byteLength;
    if (length > longestStdinBytes) throw new Error("maximum value size is 10KiB");
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.concat(parts));
  } catch {
    throw new Error("stream did not contain valid UTF-8");
  }
}

/** A single line is stored without its newline, several lines as they are. */
function withoutLastNewline(text: string): string {
  return text.indexOf("\n") === text.length - 1 ? text.slice(0, -1) : text;
}
