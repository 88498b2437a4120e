/**
 * The administrator's calls about who may call: users and factories (lib/devserver/README.md "Accounts, factories and
 * targets").
 */
import { z } from "zod";
import { createUser, factoryOf, userOf } from "./callers.ts";
import { conflict, created, internalError } from "../model/exchange.ts";
import { text, truth } from "./json-body.ts";
import { adminCall, adminJsonCall, type Route } from "./routes.ts";
import type { FactoryRecord, UserRecord } from "../model/state.ts";
import { looksLikeUlid } from "../model/targets.ts";
import { formatOptionalTime, formatTime } from "../model/timestamps.ts";

const nameShape = z.object({ name: text });

function userView({ id, name, createdMs, privileges }: UserRecord): unknown {
  return { id, name, time_create: formatTime(createdMs), privileges: [...privileges].toSorted() };
}

function factoryView({ id, name, lastPingMs, isEnabled, holdsWorkers }: FactoryRecord): unknown {
  return {
    id,
    name,
    last_ping: formatOptionalTime(lastPingMs),
    enable: isEnabled,
    hold_workers: holdsWorkers,
  };
}

function requireNewName(table: Map<string, { name: string }>, name: string, what: string): void {
  if (looksLikeUlid(name)) throw conflict(`${what} names must not look like ULIDs`);
  for (const row of table.values()) if (row.name === name) throw internalError();
}

export const accountRoutes: Route[] = [
  adminJsonCall("POST", "/0/users", "user.create", nameShape, (exchange, { name }) => {
    requireNewName(exchange.state.users, name, "user");
    const { user, token } = createUser(exchange, name);
    return created({ id: user.id, name, token });
  }),
  adminCall("GET", "/0/users", "user.read", ({ query, state }) => {
    const name = query.get("name");
    return [...state.users.values()].filter((user) => name === null || user.name === name).map(userView);
  }),
  adminCall("GET", "/0/users/{user}", "user.read", (exchange) => userView(userOf(exchange))),
  adminCall("PUT", "/0/users/{user}/privilege/{privilege}", "user.privilege", (exchange) => {
    userOf(exchange).privileges.add(exchange.params["privilege"] ?? "");
  }),
  adminCall("DELETE", "/0/users/{user}/privilege/{privilege}", "user.privilege", (exchange) => {
    userOf(exchange).privileges.delete(exchange.params["privilege"] ?? "");
  }),

  adminJsonCall("POST", "/0/admin/factory", "factory.create", nameShape, ({ state }, { name }) => {
    requireNewName(state.factories, name, "factory");
    const id = state.createId();
    const token = state.createToken(64);
    const factory = { id, name, lastPingMs: null, isEnabled: true, holdsWorkers: false, workers: new Map() };
    state.factories.set(id, factory);
    state.factoriesByToken.set(token, factory);
    return created({ id, name, token });
  }),
  adminCall("GET", "/0/admin/factories", "factory.read", ({ state }) =>
    Array.from(state.factories.values(), factoryView),
  ),
  adminJsonCall(
    "POST",
    "/0/admin/factory/{factory}/enable",
    "factory.write",
    z.object({ hold_workers: truth.default(false) }),
    (exchange, body) => {
      Object.assign(factoryOf(exchange), { isEnabled: true, holdsWorkers: body.hold_workers });
    },
  ),
  adminCall("POST", "/0/admin/factory/{factory}/disable", "factory.write", (exchange) => {
    factoryOf(exchange).isEnabled = false;
  }),
];
