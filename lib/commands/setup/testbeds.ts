/** Which testbeds a new configuration gets, and the targets that each serves. */
import { didYouMean, showValue } from "../../config/problems.ts";
import { isTestbedName, type Parsed, spTypes } from "../../config/values.ts";
import type { SpType } from "../../config/config.ts";
import type { NewTarget, NewTestbed } from "./config-text.ts";
import { type DiscoveredTestbed, readSpType } from "./discovered.ts";
import type { Questions } from "./questions.ts";

interface Conversation {
  questions: Questions;
  print(line: string): void;
}

/** Without a terminal: a testbed serves the targets whose names contain the board's type. */
export function likelyTestbeds(found: DiscoveredTestbed[], targets: NewTarget[]): NewTestbed[] {
  return found.map(({ name, spType }) => ({ name, spType, targets: likelyTargets(spType, targets) }));
}

export async function askTestbeds(
  found: DiscoveredTestbed[],
  targets: NewTarget[],
  { questions, print }: Conversation,
): Promise<NewTestbed[]> {
  const testbeds: NewTestbed[] = [];
  print("");
  for (const { name, spType } of found) {
    if (!(await questions.isWanted(`Add a section for ${name} (${spType})?`, true))) continue;
    testbeds.push({ name, spType, targets: await askServed(spType, targets, questions) });
  }
  for (;;) {
    const question = `${testbeds.length === 0 ? "Name of a testbed" : "Another testbed's name"}, empty for no more`;
    const name = await questions.value(question, (text) => readName(text, testbeds), { usual: "" });
    if (name === null) return testbeds;
    const spType = await questions.value(`  its type, one of ${spTypes.join(", ")}`, readType);
    testbeds.push({ name, spType, targets: await askServed(spType, targets, questions) });
  }
}

export async function askServed(
  spType: SpType,
  targets: NewTarget[],
  questions: Questions,
): Promise<string[]> {
  if (targets.length === 0) return [];
  const usual = likelyTargets(spType, targets).join(" ");
  return await questions.value("  targets that it serves", (text) => readServed(text, targets), { usual });
}

export function likelyTargets(spType: SpType, targets: NewTarget[]): string[] {
  return targets.map(({ name }) => name).filter((name) => name.toLowerCase().includes(spType));
}

function readServed(text: string, targets: NewTarget[]): Parsed<string[]> {
  const known = targets.map(({ name }) => name);
  const words = text.split(/[\s,]+/).filter((word) => word !== "");
  const unknown = words.find((word) => !known.includes(word));
  if (unknown === undefined) return { value: [...new Set(words)] };
  return {
    wrong: `${showValue(unknown)} is not one of the targets${didYouMean(unknown, known)}`,
    fix: `Write one or more of ${known.join(", ")}; if empty, the section is written as a comment`,
  };
}

function readName(text: string, testbeds: NewTestbed[]): Parsed<string | null> {
  return text === ""
    ? { value: null }
    : readNewName(
        text,
        testbeds.map(({ name }) => name),
      );
}

/** `taken`: directories are named after testbeds, and some systems do not tell capitals apart. */
export function readNewName(text: string, taken: string[]): Parsed<string> {
  const fix = "Use letters, digits, dots, underscores and hyphens; begin with a letter or digit";
  if (!isTestbedName(text)) return { wrong: `${showValue(text)} cannot be a testbed's name`, fix };
  const twin = taken.find((name) => name.toLowerCase() === text.toLowerCase());
  return twin === undefined
    ? { value: text }
    : { wrong: `${twin} is taken`, fix: "Give each testbed its own name" };
}

export function readType(text: string): Parsed<SpType> {
  const value = readSpType(text);
  return value === null
    ? { wrong: `${showValue(text)} is not a known type`, fix: `Write one of ${spTypes.join(", ")}` }
    : { value };
}
