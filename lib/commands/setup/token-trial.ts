/** Whether the server takes a token, asked before a configuration is written. It judges as `check` does. */
import { refuseOpenTls, type Surroundings } from "../../config/locations.ts";
import { requestFor } from "../../server/call.ts";
import { judgePing } from "../check/judge-server.ts";
import type { Http } from "../../doors/http.ts";
import { redactor } from "../../words/logger.ts";
import type { Secret } from "../../words/secret.ts";

/** A person waits for it. */
const timeoutMs = 10_000;

/** There is no configuration yet whose keys a hint could name. */
const inSetup = { url: "the server's URL", forToken: "" };

/** `why` has its hint with it. */
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
  // What a server says may repeat what it was sent.
  return { is: fault.subject === "token" ? "refused" : "untried", why: redactor([token])(why) };
}
