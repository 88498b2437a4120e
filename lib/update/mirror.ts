/**
 * Where releases come from: a static server, or a directory such as a mounted stick. It is not trusted: sizes and times are limited
 * here, and the callers check signature and hash. It must not know what a file means.
 */
import type { Clock } from "../doors/clock.ts";
import type { DurableFiles } from "../doors/durable-files.ts";
import type { Http, HttpDownload } from "../doors/http.ts";
import { errorText, FactoryError } from "../words/failure.ts";

/** If nothing comes for this long, the connection is dead. */
const stallMs = 30_000;
/** One file at 15 kB/s. */
const longestMs = 3_600_000;
const triedAgain = "It is tried again later";
/** A mirror may keep large files elsewhere. */
const mostRedirects = 3;

/** `at`: where in the file the parts begin. */
interface Opened {
  at: number;
  parts: AsyncIterable<Uint8Array>;
}

export interface Mirror {
  /** A whole file. Throws a FactoryError if it cannot be read, or has more than `maxBytes`. */
  readAll(path: string, maxBytes: number): Promise<Uint8Array>;
  /** From `offset` on, if the mirror can. `mostBytes`: the whole file's largest size. */
  open(path: string, offset: number, mostBytes: number): Promise<Opened>;
}

export interface MirrorOptions {
  /** An http, https or file URL, or an absolute path; without a slash at the end. */
  url: string;
  http: Pick<Http, "download">;
  files: Pick<DurableFiles, "readParts" | "size">;
  clock: Clock;
  signal: AbortSignal;
}

export function openMirror(options: MirrorOptions): Mirror {
  const directory = directoryOf(options.url);
  const open: Mirror["open"] =
    directory === null
      ? (path, offset, mostBytes) => openRemote(options, path, offset, mostBytes)
      : (path, offset) => openLocal(options.files, `${directory}/${path}`, offset);
  return {
    open,
    readAll: async (path, maxBytes) => {
      const { parts } = await open(path, 0, maxBytes);
      const read: Uint8Array[] = [];
      let size = 0;
      for await (const part of parts) {
        size += part.byteLength;
        if (size > maxBytes)
          throw new FactoryError(`Cannot use ${options.url}/${path}: it has over ${maxBytes} bytes`);
        read.push(part);
      }
      return new Uint8Array(Buffer.concat(read));
    },
  };
}

function directoryOf(url: string): string | null {
  if (url.startsWith("/")) return url;
  return url.startsWith("file:///") ? decodeURIComponent(url.slice("file://".length)) : null;
}

async function openLocal(files: MirrorOptions["files"], path: string, offset: number): Promise<Opened> {
  if ((await files.size(path)) !== null) return { at: offset, parts: files.readParts(path, offset) };
  throw new FactoryError(`Cannot read ${path}: it is not there`, {
    hint: "update.url must name the directory of a release",
  });
}

async function openRemote(
  { url, http, clock, signal }: MirrorOptions,
  path: string,
  offset: number,
  maxBytes: number,
): Promise<Opened> {
  let at = `${url}/${path}`;
  for (let redirects = 0; ; redirects += 1) {
    const stop = new AbortController();
    const headers = { "accept-encoding": "identity", ...(offset === 0 ? {} : { range: `bytes=${offset}-` }) };
    const asked = http.download({
      method: "GET",
      url: at,
      headers,
      timeoutMs: longestMs,
      // The reader stops earlier, and can tell a file that is too long from a connection that broke.
      maxBytes: maxBytes + 2 ** 24,
      signal: AbortSignal.any([signal, stop.signal]),
    });
    const reply = await unlessStalled(asked, { at, clock, stop });
    if (!reply.ok) throw unreachable(at, reply.code, reply.reason);
    const parts = watched(reply.parts, { at, clock, stop });
    if (reply.status === 200) return { at: 0, parts };
    if (reply.status === 206 && offsetOf(reply) === offset) return { at: offset, parts };
    stop.abort();
    const next = [301, 302, 303, 307, 308].includes(reply.status) ? reply.headers.get("location") : null;
    if (next === null) throw refused(at, reply.status);
    const target = URL.parse(next, at);
    const isWorse = at.startsWith("https:")
      ? target?.protocol !== "https:"
      : !/^https?:$/.test(target?.protocol ?? "");
    if (target === null || isWorse || redirects >= mostRedirects) {
      throw new FactoryError(`Cannot get ${at}: it leads to ${next.slice(0, 200)}`, {
        hint: "Set update.url to a mirror that has the files itself",
      });
    }
    at = target.href;
  }
}

const offsetOf = ({ headers }: HttpDownload): number =>
  Number(/^bytes (\d+)-/.exec(headers.get("content-range") ?? "")?.[1] ?? Number.NaN);

/** One reply: where it comes from, and what ends it. */
interface Exchange {
  at: string;
  clock: Clock;
  stop: AbortController;
}

async function unlessStalled<T>(work: Promise<T>, { at, clock, stop }: Exchange): Promise<T> {
  const isOver = new AbortController();
  const stall = clock.sleep(stallMs, isOver.signal).then(() => true);
  const isStalled = await Promise.race([stall, work.then(() => false)]).finally(() => isOver.abort());
  if (!isStalled) return await work;
  stop.abort();
  throw new FactoryError(`Cannot get ${at}: nothing came for ${stallMs / 1000} s`, { hint: triedAgain });
}

async function* watched(parts: AsyncIterable<Uint8Array>, exchange: Exchange): AsyncGenerator<Uint8Array> {
  const reading = parts[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await unlessStalled(reading.next(), exchange);
      if (next.done === true) return;
      yield next.value;
    }
  } catch (error) {
    if (error instanceof FactoryError) throw error;
    throw new FactoryError(`Cannot get all of ${exchange.at}: ${errorText(error)}`, { cause: error });
  } finally {
    exchange.stop.abort();
  }
}

function refused(at: string, status: number): FactoryError {
  const hints: Record<number, string> = {
    404: "update.url must name the directory that has manifest.json; a mirror may lack a file",
    407: "The proxy in HTTPS_PROXY wants a user and password in its URL",
  };
  const hint = hints[status] ?? "The mirror, or a proxy before it, refuses; ask its administrator";
  return new FactoryError(`Cannot get ${at}: the answer is ${status}`, { hint });
}

/** By the error code of the system or of TLS. */
const causes: [codes: RegExp, hint: string][] = [
  [/^CERT_(?:NOT_YET_VALID|HAS_EXPIRED)$/, "If the mirror's certificate is good, this host's clock is wrong"],
  [
    /CERT|SELF_SIGNED|UNABLE_TO|TLS|SSL/,
    "A private certificate authority goes into NODE_EXTRA_CA_CERTS; a proxy may stand between",
  ],
  [/^ENOTFOUND$|EAI_AGAIN|DNS/, "This host cannot resolve the name in update.url"],
  [/Proxy|PROXY/, "The proxy in HTTPS_PROXY does not answer, or refuses"],
  [
    /^ConnectionRefused$|ECONNREFUSED|FailedToOpenSocket/,
    "Nothing listens there: check update.url, and HTTPS_PROXY",
  ],
];

function unreachable(at: string, code: string | undefined, reason: string): FactoryError {
  const hint = causes.find(([codes]) => code !== undefined && codes.test(code))?.[1];
  return new FactoryError(`Cannot get ${at}: ${reason}`, { hint: hint ?? triedAgain });
}
