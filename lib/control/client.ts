/** Asks a running factory on its control socket. */
import { z } from "zod";
import type { Http, HttpFailure, HttpReply } from "../doors/http.ts";
import { type Snapshot, snapshotSchema } from "../status/snapshot.ts";
import { entrySchema, type JournalQuery, type Recorded } from "../words/journal.ts";
import { type ActAnswer, actAnswerSchema, type WantedAct } from "./act.ts";
import { sizeHeader } from "./routes.ts";

/** For `may not`. */
export const mayNotHint =
  "Run it as the factory's user (with sudo, if that is root), or as a member of the group general.operators";

/** `nobody`: no program listens there. `may not`: this user may not. `failed`: for example another version. */
export type FromFactory<T> =
  | { ok: true; value: T }
  | { ok: false; is: "nobody" | "may not" | "failed"; reason: string };

export interface FactoryClient {
  status(): Promise<FromFactory<Snapshot>>;
  history(query: JournalQuery): Promise<FromFactory<Recorded[]>>;
  /** Null: the instance or the file does not exist. */
  log(
    instance: string,
    file: string,
    offset: number,
  ): Promise<FromFactory<{ bytes: Uint8Array; size: number } | null>>;
  act(act: WantedAct): Promise<FromFactory<ActAnswer>>;
}

/** An act may wait for a host. */
const actTimeoutMs = 40_000;
/** Everything else is answered from memory: a factory that hangs is not waited for. */
const lookTimeoutMs = 5_000;
const maxBytes = 64 * 1024 * 1024;

const errorSchema = z.object({ error: z.string() });
const historySchema = z.array(z.object({ id: z.number(), atMs: z.number(), entry: z.unknown() }));

export function openFactoryClient({ http, path }: { http: Http; path: string }): FactoryClient {
  const ask = async (
    method: "GET" | "POST",
    target: string,
    body?: string,
  ): Promise<HttpReply | HttpFailure> =>
    await http.request({
      method,
      url: `http://control${target}`,
      unix: path,
      ...(body === undefined ? {} : { body, headers: { "content-type": "application/json" } }),
      timeoutMs: method === "POST" ? actTimeoutMs : lookTimeoutMs,
      maxBytes,
    });

  async function read<T>(
    asked: Promise<HttpReply | HttpFailure>,
    schema: z.ZodType<T>,
  ): Promise<FromFactory<T>> {
    const reply = await asked;
    if (!reply.ok) return failureOf(reply, path);
    const value = parse(reply.body);
    if (reply.status === 200) {
      const parsed = schema.safeParse(value);
      if (parsed.success) return { ok: true, value: parsed.data };
      return { ok: false, is: "failed", reason: "it answers in the form of another version of this program" };
    }
    const reason = errorSchema.safeParse(value).data?.error ?? `it answers with status ${reply.status}`;
    return { ok: false, is: reply.status === 403 ? "may not" : "failed", reason };
  }

  return {
    status: async () => await read(ask("GET", "/status"), snapshotSchema),
    history: async (query) => {
      const words = Object.entries(query).map(([name, value]): [string, string] => [name, String(value)]);
      const found = await read(
        ask("GET", `/history?${new URLSearchParams(words).toString()}`),
        historySchema,
      );
      if (!found.ok) return found;
      // What another version wrote in another form is left out.
      const value = found.value.flatMap(({ entry, ...rest }) => {
        const parsed = entrySchema.safeParse(entry);
        return parsed.success ? [{ ...rest, entry: parsed.data }] : [];
      });
      return { ok: true, value };
    },
    log: async (instance, file, offset) => {
      const query = new URLSearchParams({ instance, file, offset: String(offset) });
      const reply = await ask("GET", `/log?${query.toString()}`);
      if (!reply.ok) return failureOf(reply, path);
      if (reply.status === 404) return { ok: true, value: null };
      if (reply.status !== 200) return await read(Promise.resolve(reply), z.never());
      return { ok: true, value: { bytes: reply.body, size: Number(reply.headers.get(sizeHeader) ?? 0) } };
    },
    act: async (act) => await read(ask("POST", "/act", JSON.stringify(act)), actAnswerSchema),
  };
}

function failureOf({ reason, code }: HttpFailure, path: string): Extract<FromFactory<never>, { ok: false }> {
  if (code === "ENOENT" || code === "ECONNREFUSED")
    return { ok: false, is: "nobody", reason: `nobody listens on ${path}` };
  if (code === "EACCES" || code === "EPERM") {
    return { ok: false, is: "may not", reason: `this user may not open ${path}` };
  }
  if (code !== "ECONNRESET") return { ok: false, is: "failed", reason };
  return { ok: false, is: "failed", reason: "it ended before it answered; `history` shows what was done" };
}

function parse(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    return null;
  }
}
