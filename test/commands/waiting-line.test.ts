import { expect, test } from "bun:test";
import { whileWaiting } from "../../lib/commands/waiting-line.ts";
import { createSettableClock } from "../lab/settable-clock.ts";

function watch(isTerminal: boolean) {
  const clock = createSettableClock();
  let said = "";
  const errors = { isTerminal, write: (text: string) => void (said += text) };
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const waiting = whileWaiting({ errors, clock }, "asking hosts", promise);
  return { clock, waiting, resolve, reject, said: () => said };
}

test("a terminal shows what is waited for after a second, and nothing of it stays", async () => {
  const { clock, waiting, resolve, said } = watch(true);
  await clock.advance(2_000);
  expect(said()).toBe("\rasking hosts, for 1 s \rasking hosts, for 2 s ");
  resolve("there");
  expect(await waiting).toBe("there");
  expect(said()).toEndWith("\r\u001b[K");
  expect(clock.waiting()).toBe(0);
});

test("what is there at once, and what is not read by a person, shows nothing", async () => {
  const quick = watch(true);
  quick.resolve("there");
  await quick.waiting;
  expect(quick.said()).toBe("");
  const piped = watch(false);
  await piped.clock.advance(5_000);
  piped.resolve("there");
  await piped.waiting;
  expect(piped.said()).toBe("");
});

test("a failure is the verb's, and leaves no line behind", async () => {
  const { clock, waiting, reject, said } = watch(true);
  await clock.advance(1_000);
  reject(new Error("away"));
  expect(await waiting.catch(String)).toBe("Error: away");
  expect(said()).toEndWith("\r\u001b[K");
});
