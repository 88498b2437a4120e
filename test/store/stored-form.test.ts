/** A file from an early version, dumped by `sqlite3 .dump`: this version reads it, and what it writes the early one can read. */
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { openStore, type Store } from "../../lib/store/store.ts";

let directory = "";
let path = "";
beforeEach(() => {
  directory = mkdtempSync(`${tmpdir()}/stored-form-`);
  path = `${directory}/data.sqlite3`;
  const database = new Database(path, { create: true, strict: true });
  database.run(readFileSync(`${import.meta.dir}/rows-before-0.2.sql`, "utf8"));
  database.close();
});
afterEach(() => rmSync(directory, { recursive: true }));

function withStore<T>(use: (store: Store) => T): T {
  const store = openStore({ path, nowMs: 1000, directoryOf: () => "/work/x" });
  try {
    return use(store);
  } finally {
    store.close();
  }
}

function change(sql: string): void {
  const database = new Database(path, { strict: true });
  database.run(sql);
  database.close();
}

/** Each column of each row, with JSON parsed. */
function rows(): object[] {
  const database = new Database(path, { readonly: true, strict: true });
  const found = database
    .query<Record<string, unknown>, []>("SELECT * FROM factory_instance ORDER BY testbed_name")
    .all();
  database.close();
  const said = (value: unknown): unknown =>
    typeof value === "string" && value.startsWith("{") ? JSON.parse(value) : value;
  return found.map((row) =>
    Object.fromEntries(Object.entries(row).map(([name, value]) => [name, said(value)])),
  );
}

const ssh = { port: null, key: null, hostKey: null, elevation: null, uid: 0 };
const bench2 = { host: "bench-2", user: "lab", ...ssh };
const url = "http://127.0.0.1:9000";

test("the place of each instance in an older file is read correctly", () => {
  const places: unknown[][] = withStore((store) =>
    [...store.open(), ...store.ended()].map(({ testbed, isCleared, place }) => {
      const { directory: _, agent: __, ...where } = place;
      return [testbed, { isCleared, ...where }];
    }),
  );
  const local = { isCleared: false, way: "local" };
  const rust = { isCleared: false, way: "rust" };
  expect(Object.fromEntries(places) as unknown).toEqual({
    here: local,
    "here-preparing": local,
    "here-creating": local,
    far: {
      isCleared: false,
      way: "ssh",
      ssh: {
        host: "bench-1",
        user: "lab",
        port: 2222,
        key: "/home/lab/key",
        hostKey: "ssh-ed25519 AAAA",
        elevation: "sudo",
        uid: 1001,
        machine: "m1",
      },
    },
    "far-first-days": { isCleared: false, way: "ssh", ssh: { ...bench2, machine: undefined } },
    service: { isCleared: false, way: "sp-runner", spRunnerUrl: url },
    "here-cleared": { ...local, isCleared: true },
    "here-cleared-early": { ...local, isCleared: true },
    "far-cleared": { isCleared: true, way: "ssh", ssh: { ...bench2, machine: "m2" } },
    "service-cleared": { isCleared: true, way: "sp-runner", spRunnerUrl: url },
    "here-dropped": local,
    "here-destroyed": local,
    "rust-unknown": { ...rust, at: "unknown" },
    "rust-here": { ...rust, at: "local" },
    "rust-ssh": { ...rust, at: "ssh" },
    "rust-service": { ...rust, at: "sp-runner" },
    "rust-cleared": { isCleared: true, way: "rust", at: "unknown" },
    "rust-destroyed": { ...rust, at: "unknown" },
  });
});

test("this version writes rows of an older file in the form that the older version would", () => {
  const before = rows();
  withStore((store) => {
    for (const each of store.open()) store.advance(each, { isOnline: true });
    for (const each of store.open()) store.advance(each, { isOnline: each.testbed === "here" });
  });
  // The older version ignores newer columns.
  expect(rows()).toMatchObject(before);
});

test.each([
  ["place = json_remove(place, '$.ssh')", "far", /Cannot read far\/7 in the database: .*ssh/],
  ["place = json_set(place, '$.way', 'unknown')", "here", /Cannot read here\/7 in the database: .*way/],
  ["limits = 'none'", "here", /Cannot read here\/7 in the database: .*JSON.*limits/],
  ["worker = NULL", "here", /Cannot read here\/7 in the database: .*running with worker null/],
])("a row that cannot be is refused by its name (%s)", (setting, testbed, message) => {
  change(`UPDATE factory_instance SET ${setting} WHERE testbed_name = '${testbed}'`);
  expect(() => withStore((store) => store.open())).toThrow(message);
});
