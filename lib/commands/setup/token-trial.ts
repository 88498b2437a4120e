/** Whether the server accepts a token, asked before a configuration is written. It judges as `check` does. */
import { refuseOpenTls, type Surroundings } from "../../config/locations.ts";
import { requestFor } from "../../server/call.ts";
import { judgePing } from "../check/judge-server.ts";
import type { Http } from "../../doors/http.ts";
import { redactor, type Secret } from "../../words/secret.ts";

/** Short, because a person waits. */
const timeoutMs = 10_000;

/** There is no configuration yet, so hints name none of its keys. */
const inSetup = { url: "the server's URL", forToken: "" };

/** `why` includes its hint. */
export type TokenTrial = { is: "good" } | { is: "refused" | "untried"; why: string };

export async function tryToken(
  baseurl: string,
  token: Secret,
  { http, around }: { http: Http; around: Surroundings },
): Promise<TokenTrial> {
  refuseOpenTls(around.env);
  const request = requestFor({ http, baseurl, token }, { method: "GET", path: "/0/factory/ping", timeoutMs });
  const findings = judgePing(baseurl, await http.request(request), inSetup);
  const fault = findings.find(({ severity }) => severity === "error");
  if (fault === undefined) return { is: "good" };
  const why = [fault.message, ...(fault.hint === null ? [] : [`  ${fault.hint}`])].join("\n");
  // A server may echo the token that it was sent.
  return { is: fault.subject === "token" ? "refused" : "untried", why: redactor([token])(why) };
}
