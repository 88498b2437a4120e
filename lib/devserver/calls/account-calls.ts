/**
 * The administrator's calls about who may call: users and factories (lib/devserver/README.md "Accounts, factories and
 * targets").
 */
import { createUser, requireAdmin, requireRow } from "./callers.ts";
import { conflict, internalError, json, nothing } from "../model/exchange.ts";
import { defaulted, struct, text, truth } from "./json-body.ts";
import { call, jsonCall, type Route } from "./routes.ts";
import type { Factory, User } from "../model/state.ts";
import { looksLikeUlid } from "../model/targets.ts";
import { formatTime } from "../model/timestamps.ts";

const nameShape = struct("Create", { name: text });

function userView(user: User): unknown {
  return {
    id: user.id,
    name: user.name,
    time_create: formatTime(user.createdMs),
    privileges: [...user.privileges].toSorted(),
  };
}

function requireNewName(table: Map<string, { name: string }>, name: string, what: string): void {
  if (looksLikeUlid(name)) throw conflict(`${what} names must not look like ULIDs`);
  for (const row of table.values()) if (row.name === name) throw internalError();
}

export const accountRoutes: Route[] = [
  jsonCall("POST", "/0/users", nameShape, (exchange, { name }) => {
    requireAdmin(exchange, "user.create");
    requireNewName(exchange.state.users, name, "user");
    const { user, token } = createUser(exchange, name);
    return json(201, { id: user.id, name, token });
  }),

  call("GET", "/0/users", (exchange) => {
    requireAdmin(exchange, "user.read");
    const name = exchange.query.get("name");
    const users = [...exchange.state.users.values()].filter((user) => name === null || user.name === name);
    return json(200, users.map(userView));
  }),

  call("GET", "/0/users/{user}", (exchange) => {
    requireAdmin(exchange, "user.read");
    return json(200, userView(requireRow(exchange.state.users, exchange.params["user"])));
  }),

  call("PUT", "/0/users/{user}/privilege/{privilege}", (exchange) => {
    requireAdmin(exchange, "user.privilege");
    const user = requireRow(exchange.state.users, exchange.params["user"]);
    user.privileges.add(exchange.params["privilege"] ?? "");
    return nothing;
  }),

  call("DELETE", "/0/users/{user}/privilege/{privilege}", (exchange) => {
    requireAdmin(exchange, "user.privilege");
    const user = requireRow(exchange.state.users, exchange.params["user"]);
    user.privileges.delete(exchange.params["privilege"] ?? "");
    return nothing;
  }),

  jsonCall("POST", "/0/admin/factory", nameShape, (exchange, { name }) => {
    requireAdmin(exchange, "factory.create");
    const { state } = exchange;
    requireNewName(state.factories, name, "factory");
    const factory: Factory = {
      id: state.createId(),
      name,
      lastPingMs: null,
      isEnabled: true,
      holdsWorkers: false,
      workers: new Map(),
    };
    const token = state.createToken(64);
    state.factories.set(factory.id, factory);
    state.factoriesByToken.set(token, factory);
    return json(201, { id: factory.id, name, token });
  }),

  call("GET", "/0/admin/factories", (exchange) => {
    requireAdmin(exchange, "factory.read");
    const factories = Array.from(exchange.state.factories.values(), (factory) => ({
      id: factory.id,
      name: factory.name,
      last_ping: factory.lastPingMs === null ? null : formatTime(factory.lastPingMs),
      enable: factory.isEnabled,
      hold_workers: factory.holdsWorkers,
    }));
    return json(200, factories);
  }),

  jsonCall(
    "POST",
    "/0/admin/factory/{factory}/enable",
    struct("FactoryEnable", { hold_workers: defaulted(truth, () => false) }),
    (exchange, body) => {
      requireAdmin(exchange, "factory.write");
      const factory = requireRow(exchange.state.factories, exchange.params["factory"]);
      factory.isEnabled = true;
      factory.holdsWorkers = body.hold_workers;
      return nothing;
    },
  ),

  call("POST", "/0/admin/factory/{factory}/disable", (exchange) => {
    requireAdmin(exchange, "factory.write");
    requireRow(exchange.state.factories, exchange.params["factory"]).isEnabled = false;
    return nothing;
  }),
];
