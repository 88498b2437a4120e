/**
 * Whether a live reply means what a recorded one does. Ids, tokens and times differ from run to run: an id of the recording
 * stands for the live one that first came in its place, and must go on standing for it.
 */

const idPattern = /^[0-9A-HJKMNP-TV-Z]{26}$/;
const placeholderPattern = /^<[A-Z0-9_]+>$/;
const timePattern = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3}(?:\d{3}){0,2})?Z/g;
const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** What the server's own clock says; a sent time comes back as it was and is compared like any text. */
const timeKeys = ["time", "time_update", "last_ping", "lastping", "submit", "ready", "assigned"];

const badBody = "unable to parse JSON body: ";

export interface Likeness {
  /** The recorded text with live ids and tokens in it. */
  translate(text: string): string;
  /** Where and how the live value differs; empty where it does not. Learns new ids on the way. */
  compare(recorded: unknown, live: unknown, path: string): string[];
  /** As `compare`, of two event streams. */
  compareStreams(recorded: string, live: string): string[];
}

export function createLikeness(): Likeness {
  const lives = new Map<string, string>();
  const recordings = new Map<string, string>();

  const translate = (text: string): string =>
    text.replace(/<[A-Z0-9_]+>|[0-9A-Za-z]{26}/g, (word) => {
      const known = lives.get(word);
      if (known !== undefined) return known;
      const live = lives.get(word.toUpperCase());
      return live === undefined ? word : live.toLowerCase();
    });

  /** Two different ids of one side never stand for one of the other. */
  const bind = (recorded: string, live: string): boolean => {
    const isNew = !lives.has(recorded) && !recordings.has(live);
    if (isNew) lives.set(recorded, live);
    if (isNew) recordings.set(live, recorded);
    return lives.get(recorded) === live && recordings.get(live) === recorded;
  };

  function isSameText(key: string, recorded: string, live: string): boolean {
    if (key === "request_id") return uuidPattern.test(recorded) && uuidPattern.test(live);
    // What is wrong with a body is said in the words of each server's own JSON parser.
    if (recorded.startsWith(badBody)) return live.startsWith(badBody);
    if (placeholderPattern.test(recorded)) return bind(recorded, live);
    if (idPattern.test(recorded) && idPattern.test(live)) return bind(recorded, live);
    const [expected, found] = [translate(recorded), live];
    if (expected === found) return true;
    const isTime = timeKeys.includes(key) || (key === "complete" && !Number.isNaN(Date.parse(recorded)));
    const hold = /^worker \w+ is already on hold: Hold/.test(found);
    if (!isTime && !hold) return false;
    return expected.replace(timePattern, "TIME") === found.replace(timePattern, "TIME");
  }

  function compare(recorded: unknown, live: unknown, path: string): string[] {
    const differs = [`${path}: ${JSON.stringify(recorded)} became ${JSON.stringify(live)}`];
    if (typeof recorded === "string" && typeof live === "string") {
      const key = path.slice(path.lastIndexOf(".") + 1);
      if (key === "next_page") return compare(readToken(recorded), readToken(live), `${path}()`);
      return isSameText(key, recorded, live) ? [] : differs;
    }
    if (Array.isArray(recorded) && Array.isArray(live)) {
      if (recorded.length !== live.length) return differs;
      return recorded.flatMap((each, index) => compare(each, live[index], `${path}[${index}]`));
    }
    if (isObject(recorded) && isObject(live) && !Array.isArray(recorded) && !Array.isArray(live)) {
      const keys = Object.keys(recorded).toSorted();
      if (JSON.stringify(keys) !== JSON.stringify(Object.keys(live).toSorted())) return differs;
      return keys.flatMap((key) => compare(recorded[key], live[key], `${path}.${key}`));
    }
    return Object.is(recorded, live) ? [] : differs;
  }

  return {
    translate,
    compare,
    compareStreams: (recorded, live) => compare(readStream(recorded), readStream(live), "stream"),
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function readToken(token: string): unknown {
  return JSON.parse(Buffer.from(token, "base64").toString());
}

/** One object a record, with its event's JSON parsed. */
function readStream(text: string): unknown[] {
  if (!text.endsWith("\n\n")) return [{ unfinished: text }];
  return text
    .slice(0, -2)
    .split("\n\n")
    .map((record) => {
      const fields = Object.fromEntries(
        record.split("\n").map((line) => {
          const colon = line.indexOf(": ");
          return [line.slice(0, colon), line.slice(colon + 2)];
        }),
      );
      const data = fields["data"] ?? "";
      return data.startsWith("{") ? { ...fields, data: JSON.parse(data) as unknown } : fields;
    });
}
