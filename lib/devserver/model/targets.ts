/**
 * What kind of testbed a job wants: a name that can redirect to another (lib/devserver/README.md
 * "Accounts, factories and targets").
 */
import { badRequest, conflict, internalError } from "./exchange.ts";
import { parseUlid } from "../../words/ulid.ts";
import type { State, TargetRecord } from "./state.ts";

/** The server comes with these: `default` leads to `helios`. */
export function createFirstTargets(state: State): void {
  const helios = createTarget(state, { name: "helios", desc: "runs on the helios operating system" });
  createTarget(state, { name: "default", desc: "the default target" }).redirect = helios.id;
}

export function createTarget(state: State, { name, desc }: { name: string; desc: string }): TargetRecord {
  requireName(name);
  // In the real server the database's unique index causes this error.
  if (state.targetsByName.has(name)) throw internalError();
  const target: TargetRecord = { id: state.createId(), name, desc, redirect: null, privilege: null };
  state.targets.set(target.id, target);
  state.targetsByName.set(name, target);
  return target;
}

/** The target keeps its id under the new name; the old name redirects to it. */
export function renameTarget(
  state: State,
  target: TargetRecord,
  given: { name: string; signpost: string },
): TargetRecord {
  requireName(given.name);
  if (state.targetsByName.has(given.name)) throw internalError();
  const earlier = target.name;
  state.targetsByName.delete(earlier);
  target.name = given.name;
  state.targetsByName.set(given.name, target);
  const signpost = createTarget(state, { name: earlier, desc: given.signpost });
  signpost.redirect = target.id;
  return signpost;
}

function requireName(name: string): void {
  if (name === "" || name !== name.trim()) throw conflict("invalid target name");
  if (looksLikeUlid(name)) throw conflict("target names must not look like ULIDs");
}

export function looksLikeUlid(name: string): boolean {
  return /^[A-Za-z0-9]{26}$/.test(name) || parseUlid(name) !== null;
}

/** Follows redirects, at most 32. */
export function resolveTarget(state: State, name: string): TargetRecord {
  let target = state.targetsByName.get(name);
  for (let steps = 0; target !== undefined && target.redirect !== null; steps += 1) {
    target = steps < 32 ? state.targets.get(target.redirect) : undefined;
  }
  if (target === undefined) throw badRequest(`could not resolve target name ${JSON.stringify(name)}`);
  return target;
}
