/**
 * Which files a job's output rules choose, and which rules must have been of use (lib/agent/README.md "Output rules",
 * steps 1, 2 and 4). It reports what is wrong in the real agent's words and uploads nothing.
 */
import { stat } from "node:fs/promises";
import type { OutputRule } from "../../server/worker-side.ts";
import { matchesText, parsePattern, type Pattern, type PatternError } from "./glob.ts";
import { debugOsError, debugText } from "../os-error.ts";
import { type Locate, walkRule } from "./walk.ts";

export interface OutputFile {
  /** As it was found: absolute, and not made simpler. */
  path: string;
  /** When it was found. */
  sizeBytes: number;
}

export interface OutputScan {
  files: OutputFile[];
  /** Whether the rules accept that this file changes, or is gone, by the time it is uploaded. */
  mayChange(path: string): boolean;
  /** The errors of rules that require a file and match none of those uploaded. */
  unused(uploaded: Iterable<string>): string[];
}

/** `report` gets each error; any makes the job fail. */
export async function scanOutputs(
  rules: OutputRule[],
  report: (error: string) => Promise<void>,
  locate: Locate = (path) => path,
): Promise<OutputScan> {
  const ignored: Pattern[] = [];
  const relaxed: Pattern[] = [];
  const required: Pattern[] = [];
  for (const rule of rules) {
    const pattern = parsePattern(rule.rule);
    if (!pattern.ok) {
      await report(`glob ${debugText(rule.rule)} error: ${showPatternError(pattern)}`);
      continue;
    }
    if (rule.ignore) {
      ignored.push(pattern);
      continue;
    }
    if (rule.require_match) required.push(pattern);
    if (rule.size_change_ok) relaxed.push(pattern);
  }
  const files: OutputFile[] = [];
  const seen = new Set<string>();
  for (const rule of rules.filter(({ ignore }) => !ignore)) {
    for await (const path of findFiles(rule, report, locate)) {
      if (seen.has(path)) continue;
      seen.add(path);
      if (ignored.some((pattern) => matchesText(pattern, path))) continue;
      try {
        const found = await stat(locate(path));
        if (found.isFile()) files.push({ path, sizeBytes: found.size });
      } catch (error) {
        await report(`glob ${showRule(rule)} stat error: ${debugOsError(error)}`);
      }
    }
  }
  return {
    files,
    mayChange: (path) => relaxed.some((pattern) => matchesText(pattern, path)),
    unused: (uploaded) => {
      const paths = [...uploaded];
      return required
        .filter((pattern) => !paths.some((path) => matchesText(pattern, path)))
        .map((pattern) => `rule "${pattern.text}" required a match, but was not used`);
    },
  };
}

async function* findFiles(
  rule: OutputRule,
  report: (error: string) => Promise<void>,
  locate: Locate,
): AsyncGenerator<string> {
  const walk = walkRule(rule.rule, locate);
  if ("position" in walk) {
    await report(`glob ${showRule(rule)} error: ${showPatternError(walk)}`);
    return;
  }
  for await (const found of walk) {
    if (found.ok) {
      yield found.path;
      continue;
    }
    const why = `GlobError { path: ${debugText(found.path)}, error: ${debugOsError(found.error)} }`;
    await report(`glob ${showRule(rule)} path error: ${why}`);
    return;
  }
}

function showPatternError({ position, message }: PatternError): string {
  return `PatternError { pos: ${position}, msg: ${debugText(message)} }`;
}

function showRule({ ignore, require_match, rule, size_change_ok }: OutputRule): string {
  const fields = `ignore: ${ignore}, require_match: ${require_match}, rule: ${debugText(rule)}`;
  return `WorkerPingOutputRule { ${fields}, size_change_ok: ${size_change_ok} }`;
}
