import { describe, expect, test } from "bun:test";
import type { Answer, Refusal } from "../../lib/server/call.ts";
import { limits } from "../../lib/policy/times-and-limits.ts";
import {
  backOffMs,
  isOutage,
  newServerView,
  recordAnswer,
  replaceList,
  recordSilence,
  updateWorker,
  workerView,
} from "../../lib/policy/server-view.ts";
import { instanceOf, nowMs, workerOf } from "./scenes.ts";

const running = instanceOf({ phase: "running" });
const refused = (refusal: Refusal, status: number | null): Answer<never> => ({
  ok: false,
  refusal,
  status,
  message: "no",
});

describe("replaceList()", () => {
  test("keeps the list, and no other one is wanted", () => {
    const server = newServerView();
    expect(server.isListWanted).toBe(true);
    expect(server.areWorkersBornHeld).toBe(false);
    replaceList(server, [workerOf()], nowMs, [running]);
    expect(server.isListWanted).toBe(false);
    expect(server.list?.askedAtMs).toBe(nowMs);
    expect(server.list?.workers.get("worker-a")).toEqual(workerOf());
  });

  test("takes a worker for gone after two lists 10 s apart without it, not after one", () => {
    const server = newServerView();
    const viewAt = (askedAtMs: number, workers = [workerOf({ id: "other" })]): string => {
      replaceList(server, workers, askedAtMs, [running]);
      return workerView(running, server);
    };
    expect(viewAt(nowMs)).toBe("missing");
    expect(viewAt(nowMs + 3000)).toBe("missing");
    expect(viewAt(nowMs + limits.confirmMs - 1)).toBe("missing");
    expect(viewAt(nowMs + limits.confirmMs)).toBe("gone");
  });

  test("F13 starts again when a list has the worker again", () => {
    const server = newServerView();
    replaceList(server, [], nowMs, [running]);
    replaceList(server, [workerOf()], nowMs + 5000, [running]);
    replaceList(server, [], nowMs + 20_000, [running]);
    expect(workerView(running, server)).toBe("missing");
  });

  test("proves nothing of a worker that was recorded after the list was asked for", () => {
    const server = newServerView();
    server.recordedMs.set("a/7", nowMs);
    replaceList(server, [], nowMs, [running]);
    expect(workerView(running, server)).toBe("unseen");
    expect(server.missingSinceMs.size).toBe(0);
    replaceList(server, [], nowMs + 15_000, [running]);
    expect(workerView(running, server)).toBe("missing");
  });

  test("does not count instances without a worker as missing", () => {
    const server = newServerView();
    replaceList(server, [], nowMs, [instanceOf({ phase: "creating" }), instanceOf({ phase: "preparing" })]);
    expect(server.missingSinceMs.size).toBe(0);
  });

  test("remembers since when each worker is listed, and forgets those that are not", () => {
    const server = newServerView();
    replaceList(server, [workerOf({ id: "x" }), workerOf({ id: "y" })], nowMs, []);
    replaceList(server, [workerOf({ id: "x" }), workerOf({ id: "z" })], nowMs + 3000, []);
    expect([...server.firstListedMs]).toEqual([
      ["x", nowMs],
      ["z", nowMs + 3000],
    ]);
    replaceList(server, [workerOf({ id: "y" })], nowMs + 6000, []);
    expect(server.firstListedMs.get("y")).toBe(nowMs + 6000);
  });

  test("counts an unassociated worker from zero after a request for a worker was settled, and no other one", () => {
    const server = newServerView();
    const workers = [workerOf({ id: "orphan", private: null }), workerOf({ id: "lost", private: "a/3" })];
    replaceList(server, workers, nowMs, []);
    server.lastSettledMs = nowMs;
    replaceList(server, workers, nowMs + 3000, []);
    replaceList(server, workers, nowMs + 6000, []);
    expect([...server.firstListedMs]).toEqual([
      ["orphan", nowMs + 3000],
      ["lost", nowMs],
    ]);
  });
});

describe("updateWorker()", () => {
  test("is newer than the list: a hold, a deletion or a recycling is seen at once", () => {
    const server = newServerView();
    replaceList(server, [workerOf()], nowMs, [running]);
    expect(workerView(running, server)).toBe("offline");
    updateWorker(server, "worker-a", workerOf({ hold: true }));
    expect(workerView(running, server)).toBe("held");
    updateWorker(server, "worker-a", workerOf({ recycle: true }));
    expect(workerView(running, server)).toBe("recycle");
    updateWorker(server, "worker-a", null);
    expect(workerView(running, server)).toBe("missing");
  });

  test("does not invent a list", () => {
    const server = newServerView();
    updateWorker(server, "worker-a", workerOf());
    updateWorker(server, "worker-a", null);
    expect(server.list).toBeNull();
  });
});

describe("isOutage()", () => {
  test("is only what concerns the server as a whole: no reply, or a gateway's", () => {
    expect(isOutage({ ok: true, value: 1 })).toBe(false);
    for (const status of [null, 502, 503, 504]) expect(isOutage(refused("no answer", status))).toBe(true);
    for (const status of [200, 408, 429, 500]) expect(isOutage(refused("no answer", status))).toBe(false);
    for (const refusal of ["unauthorised", "forbidden", "conflict", "rejected"] as const) {
      expect(isOutage(refused(refusal, 502))).toBe(false);
    }
  });
});

describe("recordSilence() and recordAnswer()", () => {
  test("back off from 1 s to 30 s, each a quarter shorter or longer at most", () => {
    const bounds = Array.from({ length: 8 }, (_, count) => [backOffMs(count, 0), backOffMs(count, 1)]);
    const middles = [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000];
    expect(bounds).toEqual(middles.map((ms) => [ms * 0.75, ms * 1.25]));
    expect(backOffMs(5000, 0.5)).toBe(30_000);
  });

  test("calls that fail together count once", () => {
    const server = newServerView();
    for (let call = 0; call < 64; call += 1) recordSilence(server, nowMs, 0.5);
    expect(server.failuresInARow).toBe(1);
    expect(server.retryAtMs).toBe(nowMs + 1000);
    recordSilence(server, nowMs + 1000, 0.5);
    expect(server.retryAtMs).toBe(nowMs + 3000);
  });

  test("tell since when the server has answered without a break", () => {
    const server = newServerView();
    expect(server.answeringSinceMs).toBeNull();
    recordAnswer(server, nowMs);
    recordAnswer(server, nowMs + 5000);
    expect(server.answeringSinceMs).toBe(nowMs);
    recordSilence(server, nowMs + 6000, 0);
    expect(server.answeringSinceMs).toBeNull();
    recordAnswer(server, nowMs + 9000);
    expect(server.answeringSinceMs).toBe(nowMs + 9000);
    expect(server.failuresInARow).toBe(0);
    expect(server.retryAtMs).toBe(Number.NEGATIVE_INFINITY);
  });
});
