/** Jobs as they are shown: one in full, and many by the page, and events by the page (lib/devserver/README.md "Reading jobs"). */
import { z } from "zod";
import { badRequest, type Exchange } from "../model/exchange.ts";
import { jobState } from "../model/jobs.ts";
import type { JobRecord, EventRecord } from "../model/state.ts";
import { formatTime } from "../model/timestamps.ts";

/** The server ignores `limit`. */
const pageLength = 1000;

export function jobView(job: JobRecord): unknown {
  const times = { submit: job.submitted, ready: job.ready, assigned: job.assigned, complete: job.completed };
  return {
    id: job.id,
    owner: job.owner.id,
    name: job.name,
    target: job.targetName,
    target_real: job.target.name,
    output_rules: job.outputRules.map((each) => each.text),
    tasks: job.tasks,
    state: jobState(job),
    tags: job.tags,
    cancelled: job.isCancelled,
    times: Object.fromEntries(
      Object.entries(times).flatMap(([name, moment]) =>
        moment === null ? [] : [[name, formatTime(moment.wallMs)]],
      ),
    ),
    time_archived: null,
    time_purged: null,
  };
}

/** Events from `minseq` on. */
export function eventPage<E extends EventRecord>(events: E[], { query }: Exchange): E[] {
  const first = Math.max(0, Number(query.get("minseq") ?? 0) - 1);
  return events.slice(first, first + pageLength);
}

export interface Page {
  next_page: string | null;
  items: unknown[];
}

/** Rows are in the order of their ids. The last page is empty. */
export function pageOf<R extends { id: string }>(
  rows: R[],
  from: { after: string | null; recentFirst: boolean },
  show: (row: R) => unknown,
  scan: Record<string, unknown>,
): Page {
  const { after, recentFirst } = from;
  const ordered = recentFirst ? rows.toReversed() : rows;
  const left = ordered.filter(({ id }) => after === null || (recentFirst ? id < after : id > after));
  const items = left.slice(0, pageLength);
  const last = items.at(-1);
  if (last === undefined) return { next_page: null, items: [] };
  const token = JSON.stringify({ v: "v1", page_start: { id: last.id, ...scan } });
  return { next_page: Buffer.from(token).toString("base64"), items: items.map(show) };
}

/** Where a page begins and what it selects, from the token of the previous page. */
export function readPageToken<T>(exchange: Exchange, start: z.ZodType<T>): T | null {
  const token = exchange.query.get("page_token");
  if (token === null) return null;
  try {
    const shape = z.object({ v: z.literal("v1"), page_start: start });
    return shape.parse(JSON.parse(Buffer.from(token, "base64").toString())).page_start;
  } catch {
    throw badRequest("unable to parse query string: failed to parse pagination token");
  }
}

const jobPageStart = z.object({
  id: z.string(),
  recent_first: z.boolean(),
  tag: z.string().nullable(),
});

/** `tag=A=1|B=2`: jobs that have all of these tags. */
export function jobPage(exchange: Exchange, jobs: JobRecord[]): Page {
  const token = readPageToken(exchange, jobPageStart);
  const recentFirst = token?.recent_first ?? exchange.query.get("recent_first") === "true";
  const tag = token === null ? exchange.query.get("tag") : token.tag;
  const wanted = (tag ?? "").split("|").filter((each) => each !== "");
  const hasTags = (job: JobRecord): boolean =>
    wanted.every((each) => {
      const [name = "", ...value] = each.split("=");
      return job.tags[name] === value.join("=");
    });
  const after = token?.id ?? null;
  return pageOf(jobs.filter(hasTags), { after, recentFirst }, listEntry, { recent_first: recentFirst, tag });
}

function listEntry(job: JobRecord): unknown {
  return {
    id: job.id,
    owner: job.owner.id,
    name: job.name,
    state: jobState(job),
    cancelled: job.isCancelled,
    target: job.targetName,
    target_id: job.target.id,
  };
}
