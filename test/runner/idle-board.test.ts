/** What looks at a board prove, for the daemon and for the built-in agent. */
import { expect, test } from "bun:test";
import { askForBoard, lastedMs, lookAtBoard } from "../../lib/runner/idle-board.ts";
import { type Board, openSpRunnerApi, type SpRunnerApi } from "../../lib/runner/sp-runner.ts";
import { createSettableClock } from "../lab/settable-clock.ts";

const answer = <T>(value: T) => Promise.resolve({ ok: true as const, value });
const refusal = { ok: false as const, refusal: "no answer" as const, status: null, message: "no route" };
const idle: Board = { name: "gf-1", status: "available" };

function apiOf(over: Partial<SpRunnerApi>): SpRunnerApi {
  const none = {
    request: () => Promise.reject(new Error("no")),
    download: () => Promise.reject(new Error("no")),
  };
  return {
    ...openSpRunnerApi({ http: none, baseurl: "http://h" }),
    health: () => answer({ status: "healthy" }),
    boards: () => answer([idle]),
    ...over,
  };
}

/** Looks at a board in each of these states, so long after the one before, and gives how long it is proved idle at the end. */
async function provedMs(looks: [afterMs: number, boards: Partial<Board> | null][]): Promise<number> {
  const clock = createSettableClock();
  let span = null;
  for (const [afterMs, board] of looks) {
    await clock.advance(afterMs);
    const boards = () => (board === null ? Promise.resolve(refusal) : answer([{ ...idle, ...board }]));
    span = (await lookAtBoard({ runner: apiOf({ boards }), clock }, "gf-1", span)).idle;
  }
  return lastedMs(span);
}

test("a board is proved idle from the first idle look to the last", async () => {
  expect(await provedMs([[0, {}]])).toBe(0);
  expect(
    await provedMs([
      [0, {}],
      [4000, { status: "offline" }],
      [6000, { status: "failed-needs-recovery" }],
    ]),
  ).toBe(10_000);
});

test.each([
  ["it is busy", { status: "busy" }],
  ["it has a job, whatever its state", { current_job: "J" }],
  ["a later version has a word for its state", { status: "meditating" }],
])("the proof starts again after a look at which %s", async (_, board) => {
  expect(
    await provedMs([
      [0, {}],
      [5000, board],
      [5000, {}],
    ]),
  ).toBe(0);
});

test("a look without an answer or without the board neither proves nor disproves anything", async () => {
  for (const board of [null, { name: "other" }]) {
    const looks: [number, Partial<Board> | null][] = [
      [0, {}],
      [5000, board],
    ];
    expect(await provedMs(looks)).toBe(0);
    expect(await provedMs([...looks, [5000, {}]])).toBe(10_000);
  }
});

test("two looks more than three minutes apart prove nothing together", async () => {
  const looks = (apartMs: number): [number, Partial<Board>][] => [
    [0, {}],
    [apartMs, {}],
  ];
  expect(await provedMs(looks(180_000))).toBe(180_000);
  expect(await provedMs(looks(180_001))).toBe(0);
});

test("a shared answer counts from when it was asked for", async () => {
  const clock = createSettableClock();
  await clock.advance(7000);
  const boards = async () => ({ ...(await answer([idle])), askedAtMs: 3000 });
  const look = await lookAtBoard({ runner: apiOf({ boards }), clock }, "gf-1", null);
  expect(look.idle).toEqual({ sinceMs: 3000, seenMs: 3000 });
});

test("askForBoard() reports what is wrong with the service or the board", async () => {
  const ask = async (over: Partial<SpRunnerApi>, name = "gf-1") => {
    const asked = await askForBoard(apiOf(over), "http://h", name);
    return asked.ok ? asked.board.status : asked.reason;
  };
  expect(await ask({})).toBe("available");
  expect(await ask({ health: () => answer({ status: "degraded" }) })).toBe("available");
  expect(await ask({ health: () => answer({ status: "on fire" }) })).toBe(
    "sp-runner http://h says that it is on fire",
  );
  expect(await ask({ health: () => Promise.resolve(refusal) })).toBe(
    "sp-runner http://h does not answer: no route; start it, or correct sp_runner_url",
  );
  expect(await ask({ boards: () => Promise.resolve(refusal) })).toBe(
    "sp-runner http://h does not tell of its boards: no route",
  );
  expect(await ask({}, "gf-2")).toBe("sp-runner http://h has no testbed gf-2, but gf-1");
});
