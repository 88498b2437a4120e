/**
 * Who makes a call, by the token it carries: four kinds, none of which is taken for another (lib/devserver/README.md
 * "Who may call what").
 */
import { forbidden, internalError, noSuchRow, notAuthorised, type Exchange } from "../model/exchange.ts";
import { parseUlid } from "../../words/ulid.ts";
import type { FactoryRecord, JobRecord, TargetRecord, UserRecord, WorkerRecord } from "../model/state.ts";

/** The bearer token: two words, the scheme in any case. */
function token({ headers }: Exchange): string {
  const words = (headers.get("authorization") ?? "").trim().split(/\s+/);
  const [scheme = "", given = ""] = words;
  if (words.length !== 2 || scheme.toLowerCase() !== "bearer" || given.length < 3) throw notAuthorised();
  return given;
}

function ownerOf<T>(table: Map<string, T>, exchange: Exchange): T {
  const owner = table.get(token(exchange));
  if (owner === undefined) throw notAuthorised();
  return owner;
}

export const callingFactory = (exchange: Exchange): FactoryRecord =>
  ownerOf(exchange.state.factoriesByToken, exchange);

/** A deleted worker's token is no longer in the table. */
export const callingWorker = (exchange: Exchange): WorkerRecord =>
  ownerOf(exchange.state.workersByToken, exchange);

/** The user, or the user in whose name it acts, who is created at first use. */
export function callingUser(exchange: Exchange): UserRecord {
  const { state, headers } = exchange;
  const user = ownerOf(state.usersByToken, exchange);
  const name = headers.get("x-buildomat-delegate");
  if (name === null) return user;
  if (!user.privileges.has("delegate")) throw notAuthorised();
  const known = [...state.users.values()].find((each) => each.name === name);
  return known ?? createUser(exchange, name).user;
}

export function createUser({ state }: Exchange, name: string): { user: UserRecord; token: string } {
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

/** Lets the administrator pass, and a user who was granted `admin.<privilege>`. */
export function requireAdmin(exchange: Exchange, privilege: string): void {
  const given = token(exchange);
  if (given === exchange.state.adminToken) return;
  const user = exchange.state.usersByToken.get(given);
  if (user?.privileges.has(`admin.${privilege}`) !== true) throw notAuthorised();
}

/** An id from a path or a body. The server answers 500 to a text that is not a ULID. */
export function requireUlid(text: string | undefined): string {
  const id = parseUlid(text ?? "");
  if (id === null) throw internalError();
  return id;
}

/** The row with this id; 409 if there is none. */
export function requireRow<T>(table: Map<string, T>, text: string | undefined): T {
  const row = table.get(requireUlid(text));
  if (row === undefined) throw noSuchRow();
  return row;
}

/** The row that the path names. */
export const targetOf = ({ state, params }: Exchange): TargetRecord =>
  requireRow(state.targets, params["target"]);
export const factoryOf = ({ state, params }: Exchange): FactoryRecord =>
  requireRow(state.factories, params["factory"]);
export const userOf = ({ state, params }: Exchange): UserRecord => requireRow(state.users, params["user"]);
export const workerOf = ({ state, params }: Exchange): WorkerRecord =>
  requireRow(state.workers, params["worker"]);
export const jobOf = ({ state, params }: Exchange): JobRecord => requireRow(state.jobs, params["job"]);

export function factoryOwnWorker(exchange: Exchange): WorkerRecord {
  const factory = callingFactory(exchange);
  const worker = workerOf(exchange);
  if (worker.factory !== factory) throw forbidden("not your worker");
  return worker;
}

export function workerOwnJob(exchange: Exchange): JobRecord {
  const worker = callingWorker(exchange);
  const job = jobOf(exchange);
  if (job.worker !== worker) throw forbidden("not your job");
  return job;
}

export function userOwnJob(exchange: Exchange): JobRecord {
  const user = callingUser(exchange);
  const job = jobOf(exchange);
  if (job.owner !== user && !user.privileges.has("admin.job.read")) throw forbidden("not your job");
  return job;
}
