/**
 * What a hardware test left in its output directory. The service names it by another path than this program sees, or by a
 * link's end; nothing outside it is a file of the test's.
 */
import { constants } from "node:fs";
import { open, readdir, realpath, stat } from "node:fs/promises";
import { normalize } from "node:path";
import { z } from "zod";

export interface OutputPlace {
  /** The path that the service was given. */
  named: string;
  /** The same directory as this program sees it. */
  seen: string;
}

const reportName = "test-report.json";
export const usualNames = [reportName, "test-summary.json"];
const mostFiles = 100;
const longestReportBytes = 1024 * 1024;

/** The file that the service means by a path, relative to the output directory; null if it has no such file. */
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

/** Whether the service's path leads into the output directory: the file may come later. */
export async function isInside(place: OutputPlace, path: string): Promise<boolean> {
  return (await relativeName(place, path)) !== null;
}

export async function findReport(place: OutputPlace): Promise<string | null> {
  return await findFile(place, reportName);
}

/** All files, in byte order, up to a limit. Links are not followed. */
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

/** The report's outcome, null if it has none. Null if there is no report. */
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
