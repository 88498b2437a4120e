/** What the answers of the server mean: reachable, its clock, the token, targets and workers. Pure. */
import type { HttpFailure, HttpReply } from "../../doors/http.ts";
import type { Facts } from "./facts.ts";
import { error, type Finding, ok, warning } from "./finding.ts";

const mostSkewMs = 60_000;

export function judgeServer(facts: Facts): Finding[] {
  const { baseurl } = facts.config.general;
  if (!facts.ping.ok) return [error("server", `${baseurl} could not be asked: ${facts.ping.reason}`, null)];
  const { reply, wallMs } = facts.ping.value;
  const plain = judgeScheme(baseurl);
  return [...plain, ...judgePing(baseurl, reply), ...(reply.ok ? judgeClock(reply, wallMs) : [])];
}

/** What hints call the server's URL, and what they say of a new token's place. */
interface Places {
  url: string;
  forToken: string;
}

const inConfiguration: Places = {
  url: "general.baseurl",
  forToken: ", and put it into factory.token or token_file",
};

/** What the answer to a factory's ping says of the server and of the token. */
export function judgePing(
  baseurl: string,
  reply: HttpReply | HttpFailure,
  places: Places = inConfiguration,
): Finding[] {
  if (reply.ok) return judgeReply(baseurl, reply, places);
  return [
    judgeFailure(baseurl, reply, places),
    warning("token", "not tried: the server does not answer", "Check again when it does"),
  ];
}

function judgeScheme(baseurl: string): Finding[] {
  const { protocol, hostname } = new URL(baseurl);
  const isHere = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(hostname);
  if (protocol === "https:" || isHere) return [];
  const hint = "Use https in general.baseurl, unless nobody else uses the network in between";
  return [warning("server", `${baseurl} is plain http: the token and all jobs can be read on the way`, hint)];
}

function judgeFailure(baseurl: string, { code = "", reason }: HttpFailure, { url }: Places): Finding {
  const { hostname, port, protocol } = new URL(baseurl);
  if (code === "ENOTFOUND" || code.startsWith("EAI_")) {
    const hint = `Correct ${url}, or this host's name service`;
    return error("server", `${hostname} has no address (${code})`, hint);
  }
  if (code === "ECONNREFUSED") {
    const hint = `Correct the port in ${url}, or start the server, or open the firewall`;
    return error("server", `${hostname} refuses connections to port ${port || usualPort(protocol)}`, hint);
  }
  if (code === "EPROTO") {
    const hint = `Correct scheme and port in ${url}: what listens there may speak plain http`;
    return error("server", `${baseurl} does not speak TLS`, hint);
  }
  if (/CERT|SSL|TLS|SELF_SIGNED|HOSTNAME/.test(code)) {
    const hint =
      "Put a private certificate authority into NODE_EXTRA_CA_CERTS; ask the administrator to renew a certificate that has expired or is for another name";
    return error("server", `${baseurl} cannot prove that it is the server: ${reason}`, hint);
  }
  if (code === "ETIMEDOUT") {
    const hint = "A firewall on the way may drop packets; try it with curl from this host";
    return error("server", `${baseurl}: ${reason}`, hint);
  }
  return error("server", `${baseurl} does not answer: ${reason}`, "Try it with curl from this host");
}

const usualPort = (protocol: string): string => (protocol === "https:" ? "443" : "80");

function judgeReply(
  baseurl: string,
  { status, headers, body }: HttpReply,
  { url, forToken }: Places,
): Finding[] {
  const untried = warning(
    "token",
    "not tried: the server did not accept the request",
    "Fix the server first",
  );
  if (status === 401) {
    const hint = `Ask the server's administrator for a new factory token${forToken}`;
    return [
      ok("server", `${baseurl} answers`),
      error("token", "the server refuses it: it is not a factory token of this server", hint),
    ];
  }
  if (status >= 500) {
    const hint = "The server, or a proxy in front of it, is broken: tell its administrator";
    return [error("server", `${baseurl} answers with status ${status}`, hint), untried];
  }
  const location = headers.get("location");
  if (status >= 300 && status <= 399 && location !== null) {
    const hint = `Use the address that it redirects to as ${url}, if that is the server`;
    return [error("server", `${baseurl} redirects to ${location.slice(0, 200)}`, hint), untried];
  }
  if (status === 200 && isPong(new TextDecoder().decode(body))) {
    return [ok("server", `${baseurl} answers`), ok("token", "the server accepts it")];
  }
  const hint = `Correct ${url}: only scheme, host and port of the buildomat server`;
  return [error("server", `${baseurl} is not a buildomat server (status ${status})`, hint), untried];
}

function isPong(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && "ok" in value && value.ok === true;
  } catch {
    return false;
  }
}

/** No decision here depends on the wall clock, but certificates do, and people who compare logs. */
function judgeClock({ headers }: HttpReply, wallMs: number): Finding[] {
  const serverMs = Date.parse(headers.get("date") ?? "");
  if (Number.isNaN(serverMs)) return [ok("clock", "cannot be compared: the server's replies carry no date")];
  // The header has whole seconds, cut off.
  const skewMs = Math.round(wallMs - serverMs - 500);
  const seconds = Math.round(Math.abs(skewMs) / 1000);
  if (Math.abs(skewMs) <= mostSkewMs)
    return [ok("clock", `within ${Math.max(seconds, 1)} s of the server's`)];
  const hint = "Set this host's clock (or the server's) by NTP: certificates and logs depend on it";
  return [warning("clock", `${seconds} s ${skewMs > 0 ? "ahead of" : "behind"} the server's`, hint)];
}

export function judgeTargets({ config, workers }: Facts): Finding[] {
  const known = workers.ok && workers.value.ok ? workers.value.value : [];
  return config.targets.map(({ name, id }) => {
    const subject = `target.${name}`;
    if (id === null) {
      const hint = `Ask the server's administrator for the target's ULID (in the list of targets), and add id = "..." to [target.${name}]`;
      return warning(
        subject,
        "it has no id, so no jobs are asked for: the server knows targets only by ULID",
        hint,
      );
    }
    const worker = known.find(({ target }) => target === id);
    if (worker !== undefined)
      return ok(subject, `${id}, which the server knows: worker ${worker.id} is for it`);
    return ok(subject, `${id} is a ULID; only the server's administrator can see whether the target exists`);
  });
}

/** Workers that this factory will not end. */
export function judgeWorkers({ config, ping, workers }: Facts): Finding[] {
  // A server that answers no call is reported once.
  if (!ping.ok || !ping.value.reply.ok || ping.value.reply.status !== 200) return [];
  if (!workers.ok || !workers.value.ok) {
    const reason = workers.ok && !workers.value.ok ? workers.value.message : "no answer";
    return [warning("workers", `the list of workers cannot be read: ${reason}`, "Check again in a while")];
  }
  const names = new Set(config.testbeds.map(({ name }) => name));
  return workers.value.value.flatMap(({ id, private: instance, hold }) => {
    const testbed = instance?.split("/")[0];
    if (testbed !== undefined && !names.has(testbed)) {
      const hint =
        "If another factory uses this token, it needs one of its own: two would delete each other's workers";
      return [
        warning("workers", `worker ${id} is for ${instance}, a testbed that is not configured here`, hint),
      ];
    }
    if (!hold) return [];
    const hint =
      "Until the server's administrator releases it, the factory leaves it alone and its testbed stays in use";
    return [
      warning("workers", `worker ${id} (${instance ?? "of no testbed yet"}) is held on the server`, hint),
    ];
  });
}
