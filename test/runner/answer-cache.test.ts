/** One sp-runner service, asked once for all of its boards. */
import { expect, test } from "bun:test";
import type { Board, SpRunnerApi } from "../../lib/runner/sp-runner.ts";
import { shareRunner } from "../../lib/runner/answer-cache.ts";
import { createSettableClock } from "../lab/settable-clock.ts";

function openCounted(): { runner: SpRunnerApi; asked: () => number } {
  let asked = 0;
  const boards = async (): Promise<{ ok: true; value: Board[] }> => {
    asked += 1;
    const value = [{ name: `answer ${asked}`, status: "available" }];
    return await Promise.resolve({ ok: true as const, value });
  };
  return { runner: { boards } as unknown as SpRunnerApi, asked: () => asked };
}

const answerOf = async (runner: SpRunnerApi, sinceMs?: number): Promise<unknown> => {
  const answer = await runner.boards(sinceMs);
  return answer.ok ? [answer.value[0]?.name, answer.askedAtMs] : answer;
};

test("boards that ask at the same time share one request", async () => {
  const clock = createSettableClock({ uptimeMs: 1_000 });
  const { runner, asked } = openCounted();
  const shared = shareRunner(runner, clock);
  const answers = await Promise.all(Array.from({ length: 40 }, async () => await answerOf(shared)));
  expect(new Set(answers.map(String))).toEqual(new Set(["answer 1,1000"]));
  expect(asked()).toBe(1);
});

test("an answer from before the given time is requested again", async () => {
  const clock = createSettableClock({ uptimeMs: 1_000 });
  const { runner, asked } = openCounted();
  const shared = shareRunner(runner, clock);
  await answerOf(shared);
  await clock.advance(500);
  expect(await answerOf(shared, 1_000)).toEqual(["answer 1", 1_000]);
  expect(await answerOf(shared, 1_001)).toEqual(["answer 2", 1_500]);
  await clock.advance(1);
  expect(await answerOf(shared)).toEqual(["answer 3", 1_501]);
  expect(asked()).toBe(3);
});
