/** One sp-runner service as all of its boards share it: it is asked once, not once a board. */
import type { Clock } from "../doors/clock.ts";
import type { Http } from "../doors/http.ts";
import { openSpRunnerApi, type SpRunnerApi } from "./sp-runner.ts";

/** Who asks for the service's health or its boards shares an answer that was asked for at `sinceMs` or later (default: now). */
export function shareRunner(runner: SpRunnerApi, clock: Clock): SpRunnerApi {
  function share<T>(ask: () => Promise<T>): (sinceMs?: number) => Promise<T & { askedAtMs: number }> {
    let last: { askedAtMs: number; answer: Promise<T & { askedAtMs: number }> } | null = null;
    return async (sinceMs = Number.POSITIVE_INFINITY) => {
      const askedAtMs = clock.uptimeMs();
      if (last === null || last.askedAtMs < Math.min(sinceMs, askedAtMs)) {
        last = { askedAtMs, answer: ask().then((answer) => ({ ...answer, askedAtMs })) };
      }
      return await last.answer;
    };
  }
  return { ...runner, health: share(runner.health), boards: share(runner.boards) };
}

/** One client for each service, which all of its boards share. */
export function openSharedRunners({
  http,
  clock,
}: {
  http: Http;
  clock: Clock;
}): (url: string) => SpRunnerApi {
  const open = new Map<string, SpRunnerApi>();
  return (url) => {
    const runner = open.get(url) ?? shareRunner(openSpRunnerApi({ http, baseurl: url }), clock);
    open.set(url, runner);
    return runner;
  };
}
