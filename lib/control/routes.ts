/** What is asked on the control socket, by method and path, and who may ask it. */
import { z } from "zod";
import type { SocketReply } from "../doors/control-exchange.ts";
import type { SocketRequest } from "../doors/control-socket.ts";
import type { Snapshot } from "../status/snapshot.ts";
import type { JournalQuery, Recorded } from "../words/journal.ts";
import { isUlidStart } from "../words/ulid.ts";
import { type Act, type ActAnswer, actSchema } from "./act.ts";
import { maySteer, type Steerers } from "./permission.ts";

export interface Controlled {
  snapshot(): Snapshot;
  history(query: JournalQuery): Recorded[];
  /** Of an instance's file, from `offset` on; null: the instance or the file does not exist. */
  log(instance: string, file: string, offset: number): Promise<{ bytes: Uint8Array; size: number } | null>;
  /** Resolves when the act is in the journal. `who` is a user's name. */
  act(act: Act, who: string, signal: AbortSignal): Promise<ActAnswer>;
  steerers: Steerers;
  /** For people: who may steer. */
  steerersText: string;
  /** The name of a user, or the number of one who has none. */
  userName(uid: number): Promise<string>;
}

type Route = (controlled: Controlled, request: SocketRequest) => SocketReply | Promise<SocketReply>;

const routes: Record<string, Route> = {
  "GET /status": (controlled) => json(200, controlled.snapshot()),
  "GET /history": (controlled, { url }) => {
    const query = historySchema.safeParse(Object.fromEntries(url.searchParams));
    return query.success ? json(200, controlled.history(plain(query.data))) : refuse(400, query.error);
  },
  "GET /log": async (controlled, { url }) => {
    const query = logSchema.safeParse(Object.fromEntries(url.searchParams));
    if (!query.success) return refuse(400, query.error);
    const { instance, file, offset } = query.data;
    const piece = await controlled.log(instance, file, offset);
    if (piece === null) return json(404, { error: "there is no such file" });
    const headers = { [sizeHeader]: String(piece.size) };
    return { status: 200, type: "application/octet-stream", headers, body: piece.bytes };
  },
  "POST /act": async (controlled, { body, peer, signal }) => {
    const { steerers, steerersText } = controlled;
    if (!maySteer(peer, steerers)) {
      const who = await controlled.userName(peer.uid);
      return json(403, { error: `${who} may look at this factory, but not steer it; ${steerersText}` });
    }
    const act = actSchema.safeParse(parse(body));
    if (!act.success) return refuse(400, act.error);
    return json(200, await controlled.act(act.data, await controlled.userName(peer.uid), signal));
  },
};

/** The size of the whole file of which a piece is sent. */
export const sizeHeader = "file-size";

const count = z.coerce.number().int().nonnegative();
const historySchema = z.strictObject({
  testbed: z.string().optional(),
  // A shorter beginning is one of most of the journal's jobs, which all would be read for it.
  job: z.string().refine(isUlidStart, "must be a ULID or its first eight letters or more").optional(),
  jobName: z.string().optional(),
  what: z
    .string()
    .transform((text) => text.split(","))
    .pipe(z.array(z.enum(["job", "act", "health", "config", "server", "factory"])))
    .optional(),
  sinceMs: count.optional(),
  beforeId: count.optional(),
  most: count.max(1_000).default(100),
});
const logSchema = z.strictObject({
  instance: z.string(),
  file: z.string().default("agent.log"),
  offset: count.default(0),
});

export async function answerControl(controlled: Controlled, request: SocketRequest): Promise<SocketReply> {
  const { method, url } = request;
  const route = routes[`${method} ${url.pathname}`];
  // Another version may know it.
  if (route === undefined)
    return json(404, { error: `this factory does not know ${method} ${url.pathname}` });
  return await route(controlled, request);
}

function json(status: number, value: unknown): SocketReply {
  return { status, type: "application/json", body: `${JSON.stringify(value)}\n` };
}

function refuse(status: number, error: z.ZodError): SocketReply {
  return json(status, { error: z.prettifyError(error).replaceAll("\n", " ") });
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

/** Without what is undefined. */
function plain(query: z.output<typeof historySchema>): JournalQuery {
  return Object.fromEntries(
    Object.entries(query).filter(([, value]) => value !== undefined),
  ) as unknown as JournalQuery;
}
