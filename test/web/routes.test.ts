/** The web port: what is shown, and what nobody gets there. */
import { afterEach, expect, test } from "bun:test";
import { hostname } from "node:os";
import { openWebListener } from "../../lib/doors/web-listener.ts";
import { Tally } from "../../lib/status/tally.ts";
import type { Snapshot } from "../../lib/status/snapshot.ts";
import { answerWeb } from "../../lib/web/routes.ts";
import { snapshotOf } from "../status/snapshots.ts";

let close = (): void => undefined;
afterEach(() => close());

function open(over: { snapshot?: () => Snapshot; isTurning?: boolean; hosts?: string[] } = {}): {
  get(path: string, options?: RequestInit): Promise<Response>;
  faults: unknown[];
} {
  const faults: unknown[] = [];
  const shown = {
    snapshot: over.snapshot ?? (() => snapshotOf()),
    tally: new Tally(),
    isTurning: () => over.isTurning ?? true,
    pages: () => Promise.resolve(null),
  };
  const listener = openWebListener({
    host: "127.0.0.1",
    port: 0,
    hosts: over.hosts ?? [],
    answer: async (request) => await answerWeb(shown, request),
    onFault: (error) => faults.push(error),
  });
  close = () => listener.close();
  return { get: async (path, options) => await fetch(new URL(path, listener.url), options), faults };
}

test("/status.json is the snapshot, and /metrics the metrics", async () => {
  const { get } = open();
  expect(await (await get("/status.json")).json()).toEqual(snapshotOf());
  const metrics = await get("/metrics");
  expect(metrics.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  expect(await metrics.text()).toContain("sp_factory_server_up 1\n");
});

test("/healthz is well only while the loop turns and the server answers", async () => {
  const well = open();
  expect((await well.get("/healthz")).status).toBe(200);
  close();
  const stuck = await open({ isTurning: false }).get("/healthz");
  expect([stuck.status, await stuck.json()]).toEqual([
    503,
    expect.objectContaining({ loop: "stands still", server: "answers" }),
  ]);
  close();
  const server: Snapshot["server"] = { ...snapshotOf().server, is: "refuses the token" };
  const refused = await open({ snapshot: () => snapshotOf({ server }) }).get("/healthz");
  expect(refused.status).toBe(503);
});

test("nothing is changed here: only GET and HEAD are answered", async () => {
  const { get } = open();
  for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
    expect((await get("/status.json", { method })).status).toBe(405);
  const head = await get("/status.json", { method: "HEAD" });
  expect([head.status, await head.text()]).toEqual([200, ""]);
  expect((await get("/nothing")).status).toBe(404);
  expect((await get("/constructor")).status).toBe(404);
});

test("a site that leads its own name here gets nothing; this host's names and addresses do", async () => {
  const { get } = open({ hosts: ["lab.example.org"] });
  const status = async (host: string): Promise<number> =>
    (await get("/status.json", { headers: { host } })).status;
  expect(await status("evil.example.com")).toBe(421);
  expect(await status("127.0.0.1.evil.example.com:80")).toBe(421);
  for (const host of ["localhost:1", hostname(), "LAB.example.org", "192.0.2.1:8642", "[::1]:8642"])
    expect(await status(host)).toBe(200);
});

test("no other site may read, frame or feed what is shown", async () => {
  const { headers } = await open().get("/status.json");
  expect(headers.get("content-security-policy")).toContain("default-src 'none'");
  expect(headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
  expect(headers.get("cross-origin-resource-policy")).toBe("same-origin");
  expect(headers.get("x-content-type-options")).toBe("nosniff");
});

test("a fault of our own is logged, and says nothing of itself", async () => {
  const { get, faults } = open({
    snapshot: () => {
      throw new Error("a secret");
    },
  });
  const reply = await get("/status.json");
  expect(reply.status).toBe(500);
  expect(await reply.text()).not.toContain("secret");
  expect(String(faults[0])).toContain("a secret");
});
