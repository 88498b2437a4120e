/**
 * A buildomat server inside this program, for the demo, tests and benchmarks. For development only: it forgets everything when it
 * stops, and keeps every file in memory. What it answers is in lib/devserver/README.md, checked against recordings of the
 * real one.
 */
import type { Clock } from "../doors/clock.ts";
import type { Random } from "../doors/random.ts";
import { accountRoutes } from "./calls/account-calls.ts";
import { adminRoutes } from "./calls/admin-calls.ts";
import { badRequest, RefusedCall } from "./model/exchange.ts";
import { factoryRoutes } from "./calls/factory-calls.ts";
import { canJudgeSilence, dropChunks, failSilentWorkers, reviewWorkers, tickState } from "./model/loops.ts";
import { createRouter, responseOf, type FindRoute } from "./calls/routes.ts";
import { createState, type State } from "./model/state.ts";
import { createFirstTargets } from "./model/targets.ts";
import { userRoutes } from "./calls/user-calls.ts";
import { workerRoutes } from "./calls/worker-calls.ts";

export interface DevserverOptions {
  clock: Clock;
  random: Random;
  adminToken: string;
  hostname?: string;
  /** 0, the default: a free port. */
  port?: number;
  /** A job that runs longer fails. Default: a day. */
  maxRuntimeSeconds?: number;
  /** Between two passes of the server's main loop. Default: a second. */
  loopMs?: number;
  /** How long it takes to assemble a file. Default: it is complete at the second poll. */
  commitMs?: number;
}

export interface Devserver {
  /** Without a slash at the end. */
  url: string;
  adminToken: string;
  /** One pass of the main loop, now. */
  tick(): void;
  /** Ends the loops, the open streams and all connections. */
  stop(): Promise<void>;
}

const maxBodyBytes = 10_485_760;
/** The real server closes a connection that was idle for this long. */
const idleSeconds = 30;

export function startDevserver(options: DevserverOptions): Devserver {
  const { clock, random, adminToken } = options;
  const state = createState({
    clock,
    random,
    adminToken,
    settings: {
      maxRuntimeSeconds: options.maxRuntimeSeconds ?? 24 * 60 * 60,
      commitMs: options.commitMs ?? 0,
    },
  });
  createFirstTargets(state);
  const find = createRouter([
    ...factoryRoutes,
    ...workerRoutes,
    ...userRoutes(clock),
    ...accountRoutes,
    ...adminRoutes,
  ]);
  const server = Bun.serve({
    hostname: options.hostname ?? "127.0.0.1",
    port: options.port ?? 0,
    idleTimeout: idleSeconds,
    // The server's own, lower limit is checked later and has its own answer.
    maxRequestBodySize: 2 ** 30,
    fetch: (request) => answer(state, find, random, request),
  });

  const stopped = new AbortController();
  const tick = (): void => tickState(state);
  const loops = [
    repeat(clock, options.loopMs ?? 1000, stopped.signal, tick),
    repeat(clock, 47_000, stopped.signal, reviewer(state)),
    repeat(clock, 73_000, stopped.signal, () => dropChunks(state)),
  ];
  return {
    url: `http://${server.hostname}:${server.port}`,
    adminToken,
    tick,
    stop: async () => {
      stopped.abort();
      for (const end of state.watches) end();
      await server.stop(true);
      await Promise.all(loops);
    },
  };
}

async function repeat(clock: Clock, ms: number, stopped: AbortSignal, work: () => void): Promise<void> {
  while (!stopped.aborted) {
    work();
    await clock.sleep(ms, stopped);
  }
}

/** It judges silence from the pass after the one that finds the server up for long enough, as the real server does. */
function reviewer(state: State): () => void {
  let judgesSilence = false;
  return () => {
    reviewWorkers(state);
    if (judgesSilence) failSilentWorkers(state);
    judgesSilence = judgesSilence || canJudgeSilence(state);
  };
}

async function answer(state: State, find: FindRoute, random: Random, request: Request): Promise<Response> {
  const requestId = createRequestId(random);
  let response: Response;
  try {
    const { route, params, query } = find(request.method, request.url);
    const body = new Uint8Array(route.hasBody ? await request.arrayBuffer() : []);
    if (body.byteLength > maxBodyBytes) {
      throw badRequest(`request body exceeded maximum size of ${maxBodyBytes} bytes`);
    }
    response = responseOf(route.answer({ state, headers: request.headers, params, query }, body));
  } catch (error) {
    if (!(error instanceof RefusedCall)) throw error;
    response = error.toResponse(requestId);
  }
  response.headers.set("x-request-id", requestId);
  return response;
}

/** A UUID of version 4. */
function createRequestId(random: Random): string {
  const hex = Buffer.from(random.bytes(16)).toString("hex");
  return hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, "$1-$2-4$3-a$4-$5");
}
