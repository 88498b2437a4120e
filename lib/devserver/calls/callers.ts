/**
 * Who makes a call, by the token it carries: four kinds, and one is never taken for another (lib/devserver/README.md
 * "Who may call what").
 */
import { forbidden, internalError, noSuchRow, notAuthorised, type Exchange } from "../model/exchange.ts";
import { parseUlid } from "../../words/ulid.ts";
import type { Factory, Job, User, Worker } from "../model/state.ts";

/** The bearer token: two words, the scheme in any case. */
function token({ headers }: Exchange): string {
  const words = (headers.get("authorization") ?? "").trim().split(/\s+/);
  const [scheme = "", given = ""] = words;
  if (words.length !== 2 || scheme.toLowerCase() !== "bearer" || given.length < 3) throw notAuthorised();
  return given;
}

export function callingFactory(exchange: Exchange): Factory {
  const factory = exchange.state.factoriesByToken.get(token(exchange));
  if (factory === undefined) throw notAuthorised();
  return factory;
}

/** A deleted worker's token is not in the table any more. */
export function callingWorker(exchange: Exchange): Worker {
  const worker = exchange.state.workersByToken.get(token(exchange));
  if (worker === undefined) throw notAuthorised();
  return worker;
}

/** The user, or the one in whose name it acts, who is made on first use. */
export function callingUser(exchange: Exchange): User {
  const { state, headers } = exchange;
  const user = state.usersByToken.get(token(exchange));
  if (user === undefined) throw notAuthorised();
  const name = headers.get("x-buildomat-delegate");
  if (name === null) return user;
  if (!user.privileges.has("delegate")) throw notAuthorised();
  const known = [...state.users.values()].find((each) => each.name === name);
  return known ?? createUser(exchange, name).user;
}

export function createUser({ state }: Exchange, name: string): { user: User; token: string } {
  const userToken = state.createToken(48);
  const user = {
    id: state.createId(),
    name,
    createdMs: state.now().wallMs,
    privileges: new Set<string>(),
    jobs: [],
  };
  state.users.set(user.id, user);
  state.usersByToken.set(userToken, user);
  return { user, token: userToken };
}

/** Passes for the administrator, and for a user who was granted `admin.<privilege>`. */
export function requireAdmin(exchange: Exchange, privilege: string): void {
  const given = token(exchange);
  if (given === exchange.state.adminToken) return;
  const user = exchange.state.usersByToken.get(given);
  if (user?.privileges.has(`admin.${privilege}`) !== true) throw notAuthorised();
}

/** An id from a path or a body: a text that is no ULID is the server's own fault, in its view. */
export function requireUlid(text: string | undefined): string {
  const id = parseUlid(text ?? "");
  if (id === null) throw internalError();
  return id;
}

/** The row of the id in a table; 409 where there is none. */
export function requireRow<T>(table: Map<string, T>, text: string | undefined): T {
  const row = table.get(requireUlid(text));
  if (row === undefined) throw noSuchRow();
  return row;
}

export function factoryOwnWorker(exchange: Exchange): Worker {
  const factory = callingFactory(exchange);
  const worker = requireRow(exchange.state.workers, exchange.params["worker"]);
  if (worker.factory !== factory) throw forbidden("not your worker");
  return worker;
}

export function workerOwnJob(exchange: Exchange): Job {
  const worker = callingWorker(exchange);
  const job = requireRow(exchange.state.jobs, exchange.params["job"]);
  if (job.worker !== worker) throw forbidden("not your job");
  return job;
}

export function userOwnJob(exchange: Exchange): Job {
  const user = callingUser(exchange);
  const job = requireRow(exchange.state.jobs, exchange.params["job"]);
  if (job.owner !== user && !user.privileges.has("admin.job.read")) throw forbidden("not your job");
  return job;
}
