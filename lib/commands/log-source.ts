/** Which log is meant by a testbed, an instance or a job, and where it is read: from a running factory, else from its files. */
import { type Instance, instanceName, parseInstanceName } from "../words/domain.ts";
import { FactoryError } from "../words/failure.ts";
import type { Recorded } from "../words/journal.ts";
import { isUlidStart } from "../words/ulid.ts";
import type { Journal } from "./journal-source.ts";

type Named = Pick<Instance, "testbed" | "seq">;

/** `name`: TESTBED, TESTBED/SEQ, TESTBED_SEQ, or a job's ULID or its beginning. Throws a FactoryError if nothing is called so. */
export async function findInstance(name: string, journal: Journal): Promise<Named> {
  const exact = parseInstanceName(name) ?? parseInstanceName(name.replace(/_(\d+)$/, "/$1"));
  const testbeds = await journal.testbeds();
  if (exact !== null && testbeds.includes(exact.testbed)) return exact;
  const last = testbeds.includes(name) ? await journal.lastInstance(name) : null;
  if (last !== null) return last;
  const ofJob = isUlidStart(name) ? await findJob(name.toUpperCase(), journal) : null;
  if (ofJob !== null) return ofJob;
  const known = testbeds.toSorted();
  throw new FactoryError(
    `Cannot show a log: "${name}" is not a testbed that had a job, nor an instance, nor a job's id`,
    {
      hint:
        known.length === 0
          ? "No job has run here yet"
          : `Give a testbed (${known.join(", ")}), one of its instances, for example ${known[0]}/1, or at least 8 characters of a job's id`,
    },
  );
}

/** Null: none begins so. A job may have been leased to several testbeds before one began it. */
async function findJob(id: string, journal: Journal): Promise<Named | null> {
  const open = (await journal.running()).filter(({ job }) => job?.startsWith(id) === true);
  const past = await journal.read({ job: id, what: ["job"], most: 100 });
  const ended = past.flatMap(({ entry }: Recorded) => (entry.what === "job" ? entry : []));
  const jobs = new Set([...open, ...ended].map(({ job }) => job));
  if (jobs.size > 1) {
    throw new FactoryError(`Cannot show a log: ${jobs.size} jobs begin with ${id}`, {
      hint: `Give more of the id, for example ${[...jobs][0]}`,
    });
  }
  return open[0] ?? ended.findLast(({ isStarted }) => isStarted) ?? ended.at(-1) ?? null;
}

/** For messages. */
export function checkFile(file: string): string {
  if (file !== "" && !file.startsWith("/") && !file.split("/").includes("..")) return file;
  throw new FactoryError(
    `Cannot show ${JSON.stringify(file)}: it is not a path within an instance's directory`,
    { hint: "For example opt/etc/job-done.json or minder/exit.json" },
  );
}

export async function isRunning(journal: Journal, named: Named): Promise<boolean> {
  const name = instanceName(named);
  return (await journal.running()).some((each) => instanceName(each) === name);
}
