/** Whether an sp-runner service can take a testbed's jobs, for `check`. */
import { askForBoard, isAtWork, openSpRunnerApi } from "../sp-runner-api.ts";

/** Why it cannot; null: it can, now or after the job that it works on. */
export async function reachService(
  server: Parameters<typeof openSpRunnerApi>[0],
  testbed: string,
): Promise<string | null> {
  const asked = await askForBoard(openSpRunnerApi(server), server.baseurl, testbed);
  if (!asked.ok) return asked.reason;
  const { status } = asked.board;
  if (status === "available" || isAtWork(asked.board)) return null;
  return `sp-runner ${server.baseurl} says that its board is ${status}`;
}
