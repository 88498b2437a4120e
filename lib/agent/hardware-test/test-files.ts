/**
 * What a hardware test left in its output directory. The service names it by another path than this program sees, or by a
 * link's end; nothing outside it is a file of the test's.
 */
import { constants } from "node:fs";
import { open, readdir, realpath, stat } from "node:fs/promises";
import { normalize } from "node:path";
import { z } from "zod";

export interface OutputPlace {
  /** As the service was told. */
  named: string;
  /** The same as this program sees it. */
  seen: string;
}

const reportName = "test-report.json";
export const usualNames = [reportName, "test-summary.json"];
const mostFiles = 100;
const longestReportBytes = 1024 * 1024;

/** The file that a path of the service's means, relative to the output directory; null where there is no such file in it. */
export async function findFile(place: OutputPlace, path: string): Promise<string | null> {
  const name = await relativeName(place, path);
  if (name === null) return null;
  try {
    const [real, root] = await Promise.all([realpath(`${place.seen}/${name}`), realpath(place.seen)]);
    return real.startsWith(`${root}/`) && (await stat(real)).isFile() ? name : null;
  } catch {
    return null; // it is not there, or gone again
  }
}

/** Whether a path of the service's leads into the output directory, where a file may be yet to come. */
export async function isInside(place: OutputPlace, path: string): Promise<boolean> {
  return (await relativeName(place, path)) !== null;
}

export async function findReport(place: OutputPlace): Promise<string | null> {
  return await findFile(place, reportName);
}

/** All files that are there, in byte order, up to a bound. Links are none, and are not followed. */
export async function listFiles({ seen }: OutputPlace): Promise<string[]> {
  const names: string[] = [];
  const directories = [""];
  for (const directory of directories) {
    const entries = await readdir(`${seen}/${directory}`, { withFileTypes: true }).catch(() => []);
    if (names.length >= mostFiles || directories.length > mostFiles) break;
    for (const entry of entries) {
      if (entry.isDirectory()) directories.push(`${directory}${entry.name}/`);
      else if (entry.isFile()) names.push(`${directory}${entry.name}`);
    }
  }
  return names.toSorted().slice(0, mostFiles);
}

/** What the report says; a null outcome where it tells none. Null where there is no report. */
export async function readReport(place: OutputPlace): Promise<{ outcome: string | null } | null> {
  const name = await findReport(place);
  if (name === null) return null;
  try {
    // It may have become a pipe since, which would be waited for.
    await using file = await open(`${place.seen}/${name}`, constants.O_RDONLY | constants.O_NONBLOCK);
    const found = await file.stat();
    if (!found.isFile() || found.size > longestReportBytes) return { outcome: null };
    return z.object({ outcome: z.string() }).parse(JSON.parse(await file.readFile("utf8")));
  } catch {
    return { outcome: null };
  }
}

async function relativeName({ named, seen }: OutputPlace, path: string): Promise<string | null> {
  const clean = normalize(path);
  if (!clean.startsWith("/")) return clean === ".." || clean.startsWith("../") ? null : clean;
  const real = await Promise.all([named, seen].map((root) => realpath(root).catch(() => root)));
  const root = [named, seen, ...real].find((each) => clean.startsWith(`${normalize(each)}/`));
  return root === undefined ? null : clean.slice(normalize(root).length + 1);
}
