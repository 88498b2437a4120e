/** One event to where `[notify]` says: a command's standard input, or a signed POST. It says only whether that worked. */
import { createHmac } from "node:crypto";
import type { Config } from "../config/config.ts";
import type { Http } from "../doors/http.ts";
import type { Processes } from "../doors/processes.ts";
import type { LabEvent } from "./lab-events.ts";

export interface DeliveryDoors {
  http: Pick<Http, "request">;
  processes: Pick<Processes, "run">;
  /** Of the command, which gets nothing else of this program's environment. */
  env: Record<string, string>;
}

export interface Letter extends LabEvent {
  /** Counts up in this process; with `host` it tells two events apart. */
  id: string;
  host: string;
}

const timeoutMs = 30_000;

/** For each way that is configured: how it is called, and why it failed; null: it did not. */
export async function deliver(
  letter: Letter,
  { command, webhook, secret }: Config["notify"],
  { http, processes, env }: DeliveryDoors,
): Promise<{ way: string; fault: string | null }[]> {
  const body = JSON.stringify(wireForm(letter));
  const outcomes: { way: string; fault: string | null }[] = [];
  if (command !== null) {
    const argv = ["/bin/sh", "-c", command];
    const run = await processes.run({
      argv,
      stdin: body,
      env,
      cwd: "/",
      timeoutMs,
      maxBytes: 4_096,
      isDetached: true,
    });
    const said = run.ok ? (run.stderr.trim() || run.stdout.trim()).slice(0, 200) : "";
    const fault = run.ok
      ? run.exitCode === 0
        ? null
        : `exit code ${run.exitCode}${said === "" ? "" : `: ${said}`}`
      : run.reason;
    outcomes.push({ way: "notify.command", fault });
  }
  if (webhook !== null) {
    const reply = await http.request({
      method: "POST",
      url: webhook.reveal(),
      headers: {
        "content-type": "application/json",
        ...(secret === null ? {} : { "x-factory-signature": `sha256=${signatureOf(body, secret.reveal())}` }),
      },
      body,
      timeoutMs,
      maxBytes: 64 * 1_024,
    });
    const isGood = reply.ok && reply.status >= 200 && reply.status < 300;
    const fault = isGood ? null : reply.ok ? `status ${reply.status}` : reply.reason;
    outcomes.push({ way: "notify.webhook", fault });
  }
  return outcomes;
}

/** HMAC-SHA-256 of the body, in hex: the receiver computes the same. */
export function signatureOf(body: string, secret: string): string {
  return createHmac("sha256", secret).update(body).digest("hex");
}

/** `text` is what Slack, Mattermost and their like show. */
function wireForm({ id, host, kind, testbed, text, sinceMs }: Letter): object {
  const since = sinceMs === null ? null : new Date(sinceMs).toISOString();
  return { id, event: kind, host, testbed, since, text: `${host}: ${text}` };
}
