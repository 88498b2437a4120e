/** Whether an sp-runner service can take a testbed's jobs, for `check`. */
import type { Inspected } from "../../hosts/host.ts";
import { askForBoard, isAtWork } from "../../runner/idle-board.ts";
import { openSpRunnerApi } from "../../runner/sp-runner.ts";

/** A board that is busy with a job can take the next one. */
export async function reachService(
  server: Parameters<typeof openSpRunnerApi>[0],
  testbed: string,
): Promise<Inspected> {
  const asked = await askForBoard(openSpRunnerApi(server), server.baseurl, testbed);
  if (!asked.ok) return asked;
  const { status } = asked.board;
  if (status === "available" || isAtWork(asked.board)) {
    return { ok: true, remarks: [], tried: [`sp-runner ${server.baseurl} answers, its board is ${status}`] };
  }
  return { ok: false, reason: `sp-runner ${server.baseurl} says that its board is ${status}` };
}
