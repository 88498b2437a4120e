/** The token of a new configuration: from a flag or typed, and tried at the server, which is judged as `check` does. */
import { refuseOpenTls, type Surroundings } from "../../config/locations.ts";
import { requestFor } from "../../server/call.ts";
import { judgePing } from "../check/judge-server.ts";
import type { ThisProcess } from "../this-process.ts";
import { whileWaiting } from "../waiting-line.ts";
import type { NewConfig } from "./config-text.ts";
import { readTypedToken, secretOf, warnOfToken } from "./flag-values.ts";
import type { Questions } from "./questions.ts";
import { FactoryError } from "../../words/failure.ts";
import { redactor, type Secret } from "../../words/secret.ts";

/** Short, because a person waits. */
const timeoutMs = 10_000;

/** There is no configuration yet, so hints name none of its keys. */
const inSetup = { url: "the server's URL", forToken: "" };

interface TrialDoors extends Pick<ThisProcess, "http" | "clock" | "errors" | "print"> {
  around: Surroundings;
}

/** `why` includes its hint. */
type TokenTrial = { is: "good" } | { is: "refused" | "untried"; why: string };

async function tryToken(
  baseurl: string,
  token: Secret,
  { http, around }: Pick<TrialDoors, "http" | "around">,
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

/** The given or typed token, after the server was asked about it. Null: the user gave up. */
export async function chooseToken(
  given: NewConfig["token"] | null,
  baseurl: string,
  questions: Questions | null,
  doors: TrialDoors,
): Promise<NewConfig["token"] | null> {
  const { around, print } = doors;
  for (let token = given; ; token = null) {
    token ??= await askToken(questions, print);
    const warning = warnOfToken(token, around);
    if (warning !== null) print(warning);
    const asked = tryToken(baseurl, secretOf(token, around), doors);
    const trial = await whileWaiting(doors, "asking the server", asked);
    if (trial.is === "good") {
      print("The server accepts the token");
      return token;
    }
    if (trial.is === "untried") {
      print(`Warning: the token could not be tried: ${trial.why}`);
      if (questions === null || (await questions.isWanted("Go on without trying it?", true))) return token;
      return null;
    }
    if (questions === null) {
      throw new FactoryError(`Cannot use the token: ${trial.why}`, { hint: "Nothing was written" });
    }
    print(trial.why);
    if (await questions.isWanted("Use this token anyway?", false, { hidden: true })) return token;
    if (!(await questions.isWanted("Try another token?", true, { hidden: true }))) return null;
  }
}

async function askToken(
  questions: Questions | null,
  print: (line: string) => void,
): Promise<NewConfig["token"]> {
  print("\nThe factory's token comes from the server's administrator. It is not shown as you type.");
  const value = await questions?.value("Token", readTypedToken, { hidden: true });
  if (value === undefined) throw new Error("refuseGaps() let a gap through");
  return { value };
}
