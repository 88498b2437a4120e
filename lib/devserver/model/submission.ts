/** What a user submits as a job, and its limits (lib/devserver/README.md "Submitting a job"). */
import { z } from "zod";
import { requireUlid } from "../calls/callers.ts";
import { badRequest, conflict, forbidden, internalError } from "./exchange.ts";
import { optional, text, truth, u32 } from "../calls/json-body.ts";
import { createJob, type NewJob } from "./jobs.ts";
import { parseOutputRule } from "./output-rules.ts";
import type { JobRecord, State, TargetRecord, UserRecord } from "./state.ts";
import { resolveTarget } from "./targets.ts";

const taskShape = z.object({
  name: text,
  script: text,
  env_clear: truth,
  env: z.record(text, text),
  uid: optional(u32),
  gid: optional(u32),
  workdir: optional(text),
});

const dependShape = z.object({
  prior_job: text,
  copy_outputs: truth,
  on_failed: truth,
  on_completed: truth,
});

export const submissionShape = z.object({
  name: text,
  target: text,
  output_rules: z.array(text),
  tasks: z.array(taskShape),
  inputs: z.array(text).default([]),
  tags: z.record(text, text).default({}),
  depends: z.record(text, dependShape).default({}),
});
type Submission = z.output<typeof submissionShape>;

export function submitJob(state: State, owner: UserRecord, given: Submission): JobRecord {
  requireSizes(given);
  const target = resolveTarget(state, given.target);
  requireRight(owner, target);
  const outputRules = given.output_rules.map((rule) => {
    const parsed = parseOutputRule(rule);
    if (!parsed.ok) throw badRequest(parsed.why);
    return { text: rule, rule: parsed.rule };
  });
  const depends = readDepends(state, owner, given.depends);
  requireParts(given);
  const { name, tasks, tags, inputs, target: targetName } = given;
  return createJob(state, { owner, name, targetName, target, outputRules, tasks, tags, inputs, depends });
}

function requireSizes({ tasks, inputs, tags }: Submission): void {
  if (tasks.length > 100) throw badRequest("too many tasks");
  if (inputs.length > 25) throw badRequest("too many inputs");
  const entries = Object.entries(tags);
  if (entries.length > 100) throw badRequest("too many tags");
  if (entries.some(([name]) => !/^[0-9a-z._-]+$/.test(name))) throw badRequest("invalid tag name");
  const bytes = entries.reduce((sum, entry) => sum + Buffer.byteLength(entry.join("")), 0);
  if (bytes > 131_072) throw badRequest("total size of all tags is larger than 131072 bytes");
}

function requireRight(owner: UserRecord, target: TargetRecord): void {
  if (target.privilege === null || owner.privileges.has(target.privilege)) return;
  throw forbidden("you are not allowed to use that target");
}

function readDepends(state: State, owner: UserRecord, given: Submission["depends"]): NewJob["depends"] {
  const entries = Object.entries(given);
  if (entries.length > 8) throw conflict("too many depends");
  return entries.map(([name, depend]) => {
    if (name === "" || name.includes("/")) throw conflict("invalid depend name");
    if (!depend.on_failed && !depend.on_completed) {
      throw conflict("depend must have at least one of on_failed or on_completed");
    }
    const prior = state.jobs.get(requireUlid(depend.prior_job));
    if (prior === undefined || prior.owner !== owner) throw conflict("prior job does not exist");
    return {
      name,
      prior,
      copyOutputs: depend.copy_outputs,
      onFailed: depend.on_failed,
      onCompleted: depend.on_completed,
    };
  });
}

function requireParts({ tasks, inputs }: Submission): void {
  if (tasks.length === 0) throw conflict("a job must have at least one task");
  if (tasks.length > 64) throw conflict("a job must have at most 64 tasks");
  for (const name of inputs) {
    if (name.trim() === "" || name.includes("/")) throw conflict("invalid input name");
  }
  if (new Set(inputs).size < inputs.length) throw internalError();
}
