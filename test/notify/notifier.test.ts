/** How somebody is told: a real command, a real receiver, and a clock that the test sets. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Config } from "../../lib/config/config.ts";
import { openClock } from "../../lib/doors/clock.ts";
import { openHttp } from "../../lib/doors/http.ts";
import { openProcesses } from "../../lib/doors/processes.ts";
import { deliver, type DeliveryDoors, signatureOf } from "../../lib/notify/delivery.ts";
import { startNotifier } from "../../lib/notify/notifier.ts";
import type { Snapshot } from "../../lib/status/snapshot.ts";
import { Secret } from "../../lib/words/secret.ts";
import { createSettableClock } from "../lab/settable-clock.ts";
import { until } from "../lab/until.ts";
import { snapshotOf, testbedSnapshotOf } from "../status/snapshots.ts";

const clock = openClock();
const doors: DeliveryDoors = {
  http: openHttp({ clock }),
  processes: openProcesses({ clock }),
  env: { PATH: "/usr/bin:/bin", HOME: "/" },
};
const none: Config["notify"] = { command: null, webhook: null, secret: null, reservedOverMs: 1e9 };
const letter = {
  kind: "held",
  testbed: 'a"b',
  text: 'a"b is held',
  sinceMs: 0,
  id: "1-1",
  host: "lab-1",
} as const;

let directory = "";
beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), "notify-"))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

interface Received {
  body: string;
  signature: string | null;
}

/** A receiver whose answers the test chooses: the status of each request in turn, then 200. */
function receive(...statuses: number[]): { url: string; received: Received[]; [Symbol.dispose](): void } {
  const received: Received[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      received.push({ body: await request.text(), signature: request.headers.get("x-factory-signature") });
      return new Response("", { status: statuses.shift() ?? 200 });
    },
  });
  return { url: server.url.href, received, [Symbol.dispose]: () => void server.stop(true) };
}

test("a command gets the event as JSON on its standard input", async () => {
  const file = join(directory, "got");
  const outcomes = await deliver(letter, { ...none, command: `cat >${file}` }, doors);
  expect(outcomes).toEqual([{ way: "notify.command", fault: null }]);
  expect(JSON.parse(readFileSync(file, "utf8"))).toEqual({
    id: "1-1",
    event: "held",
    host: "lab-1",
    testbed: 'a"b',
    since: "1970-01-01T00:00:00.000Z",
    text: 'lab-1: a"b is held',
  });
});

test("a command that fails is quoted", async () => {
  const outcomes = await deliver(letter, { ...none, command: "echo no route >&2; exit 3" }, doors);
  expect(outcomes).toEqual([{ way: "notify.command", fault: "exit code 3: no route" }]);
});

test("a webhook gets the same, signed with the secret, and without one unsigned", async () => {
  using receiver = receive();
  const webhook = new Secret(receiver.url);
  const secret = new Secret("sixteen characters");
  expect(await deliver(letter, { ...none, webhook, secret }, doors)).toEqual([
    { way: "notify.webhook", fault: null },
  ]);
  const [first] = receiver.received;
  // As a receiver computes it, with another program.
  const { stdout } = Bun.spawnSync(["openssl", "dgst", "-sha256", "-hmac", "sixteen characters"], {
    stdin: new TextEncoder().encode(first?.body),
  });
  expect(first?.signature).toBe(`sha256=${stdout.toString().trim().split(" ").at(-1)}`);
  expect(signatureOf("x", "y")).not.toBe(signatureOf("x", "z"));
  await deliver(letter, { ...none, webhook }, doors);
  expect(receiver.received[1]?.signature).toBeNull();
});

test("a webhook that refuses, and one that is not there", async () => {
  using receiver = receive(500);
  const to = (url: string): Config["notify"] => ({ ...none, webhook: new Secret(url) });
  expect((await deliver(letter, to(receiver.url), doors))[0]?.fault).toBe("status 500");
  expect((await deliver(letter, to("http://127.0.0.1:1/"), doors))[0]?.fault).not.toBeNull();
});

function notifier(over: { notify: Config["notify"]; lab: () => Snapshot; lasting?: Set<string> }) {
  const settable = createSettableClock();
  const warnings: string[] = [];
  let lasting = over.lasting ?? new Set<string>();
  const log = {
    debug: () => undefined,
    info: () => undefined,
    warn: (line: string) => void warnings.push(line),
    error: (line: string) => void warnings.push(line),
  };
  const running = startNotifier({
    ...doors,
    clock: settable,
    log,
    host: "lab-1",
    notify: () => over.notify,
    snapshot: over.lab,
    told: { read: () => lasting, write: (names) => void (lasting = new Set(names)) },
  });
  return { settable, warnings, running, lasting: () => lasting };
}

const held = (...names: string[]): Snapshot =>
  snapshotOf({ testbeds: names.map((testbed) => testbedSnapshotOf({ testbed, state: "held" })) });

test("an event is told once, also by the process after this one", async () => {
  using receiver = receive();
  const notify = { ...none, webhook: new Secret(receiver.url) };
  const first = notifier({ notify, lab: () => held("a") });
  await first.settable.advance(10_000);
  await until("it is told", () => receiver.received.length === 1);
  await first.settable.advance(30_000);
  await first.running.stop();
  const second = notifier({ notify, lab: () => held("a", "b"), lasting: first.lasting() });
  await second.settable.advance(10_000);
  await until("the other is told", () => receiver.received.length === 2);
  expect(receiver.received.map(({ body }) => (JSON.parse(body) as { testbed: string }).testbed)).toEqual([
    "a",
    "b",
  ]);
  await second.running.stop();
});

test("what fails is tried three times, then logged, and the next is told", async () => {
  using receiver = receive(500, 500, 500);
  const at = notifier({ notify: { ...none, webhook: new Secret(receiver.url) }, lab: () => held("a", "b") });
  await until("it gives up, and tells the next", async () => {
    await at.settable.advance(5_000);
    return receiver.received.length === 4;
  });
  expect(at.warnings).toEqual([`cannot tell "a is held on the server": notify.webhook: status 500`]);
  await at.running.stop();
});

test("what was told by one way is not told again by it while the other fails", async () => {
  using receiver = receive(500, 500);
  const file = join(directory, "count");
  const at = notifier({
    notify: { ...none, command: `echo x >>${file}`, webhook: new Secret(receiver.url) },
    lab: () => held("a"),
  });
  await until("the webhook takes it", async () => {
    await at.settable.advance(5_000);
    return receiver.received.length === 3;
  });
  expect(readFileSync(file, "utf8")).toBe("x\n");
  await at.running.stop();
});

test("no more than a hundred wait, and what is dropped is said", async () => {
  using receiver = receive();
  const names = Array.from({ length: 130 }, (_, index) => `bed-${index}`);
  const at = notifier({ notify: { ...none, webhook: new Secret(receiver.url) }, lab: () => held(...names) });
  await at.settable.advance(10_000);
  await until("a hundred are told", () => receiver.received.length === 100);
  expect(at.warnings).toEqual(["30 notifications are dropped: too many wait"]);
  await at.running.stop();
});

test("without [notify] nothing is looked at", async () => {
  let looks = 0;
  const lab = (): Snapshot => {
    looks += 1;
    return held("a");
  };
  const at = notifier({ notify: none, lab });
  await at.settable.advance(60_000);
  await at.running.stop();
  expect(looks).toBe(0);
  expect(existsSync(join(directory, "got"))).toBe(false);
});

test("a webhook that leads elsewhere has not taken the event", async () => {
  using receiver = receive(302);
  const outcomes = await deliver(letter, { ...none, webhook: new Secret(receiver.url) }, doors);
  expect(outcomes[0]?.fault).toBe("status 302");
});

test("a command gets nothing of this program's environment, and the time that it needs", async () => {
  const file = join(directory, "env");
  process.env["FACTORY_TEST_SECRET"] = "hush-hush";
  const outcomes = await deliver(letter, { ...none, command: `env >${file}; sleep 0.2` }, doors);
  delete process.env["FACTORY_TEST_SECRET"];
  expect(outcomes[0]?.fault).toBeNull();
  expect(readFileSync(file, "utf8")).not.toContain("hush-hush");
});

test("what fails is tried again after a while, not at once", async () => {
  using receiver = receive(500, 500, 500);
  const at = notifier({ notify: { ...none, webhook: new Secret(receiver.url) }, lab: () => held("a") });
  await at.settable.advance(10_000);
  await until("it waits for the next look and for the next try", () => at.settable.waiting() === 2);
  expect(receiver.received).toHaveLength(1);
  await at.running.stop();
});

test("the lab is looked at while a receiver keeps its sender waiting", async () => {
  const answered = Promise.withResolvers<Response>();
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => answered.promise });
  let looks = 0;
  const lab = (): Snapshot => {
    looks += 1;
    return held("a");
  };
  const at = notifier({ notify: { ...none, webhook: new Secret(server.url.href) }, lab });
  await at.settable.advance(60_000);
  expect(looks).toBe(6);
  answered.resolve(new Response(""));
  await at.running.stop();
  await server.stop(true);
});

test("a condition whose end is no news is news again when it comes again", async () => {
  using receiver = receive();
  const { madeMs } = snapshotOf();
  const intent = { kind: "reserved", who: "ann", note: "", sinceMs: madeMs - 2e9, untilMs: null } as const;
  const reserved = testbedSnapshotOf({ state: "reserved", intent: { ...intent, isAfterJob: false } });
  const free = testbedSnapshotOf({ state: "free" });
  const labs = [reserved, free, reserved];
  const at = notifier({
    notify: { ...none, webhook: new Secret(receiver.url) },
    lab: () => snapshotOf({ testbeds: [labs.shift() ?? reserved] }),
  });
  await at.settable.advance(30_000);
  await until("it is told twice", () => receiver.received.length === 2);
  await at.running.stop();
});
