/**
 * The verbs: one entry each, from which the command line, the usage and README's test read. A verb's file is loaded when it is
 * asked for, because the agent starts with every job.
 */
import type { ArgsDef } from "citty";
import type { Command } from "./command-line.ts";
import { serviceArgs } from "./service/flags.ts";
import { setupArgs } from "./setup/flags.ts";
import type { ThisProcess } from "./this-process.ts";

/** Where everything is, for a verb that needs no configuration. */
const placeArgs: ArgsDef = {
  database: { type: "string", alias: "d", valueHint: "FILE", description: "database (BASE/data.sqlite3)" },
  "base-dir": {
    type: "string",
    valueHint: "BASE",
    description: "directory of all three ($FACTORY_BASE, else ~/Oxide/ci/factory)",
  },
};

const baseArgs: ArgsDef = {
  config: { type: "string", alias: "f", valueHint: "FILE", description: "configuration (BASE/config.toml)" },
  ...placeArgs,
};

const jsonArgs: ArgsDef = {
  ...baseArgs,
  json: { type: "boolean", description: "one JSON document, for programs" },
};

export const verbs: Record<string, Command<ThisProcess>> = {
  run: {
    description: "Lease jobs and run them until stopped (also without a command)",
    args: baseArgs,
    run: async (here, args) => await (await import("./run.ts")).runFactory(here, args),
  },
  setup: {
    description: "Write the configuration of a new factory; asks what the flags leave open",
    args: setupArgs,
    run: async (here, args, words) => await (await import("./setup/setup.ts")).runSetup(here, args, words),
  },
  check: {
    description: "Look for all that would keep jobs from running here, and say how to mend it",
    args: jsonArgs,
    run: async (here, args) => await (await import("./check/check.ts")).checkHost(here, args),
  },
  status: {
    description: "What each testbed does, whether the factory runs or not",
    args: jsonArgs,
    run: async (here, args) => await (await import("./status.ts")).showStatus(here, args),
  },
  logs: {
    description: "The log of the job agent that runs on a testbed, or ran there last",
    args: {
      instance: { type: "positional", description: "TESTBED, or one instance of it: TESTBED/SEQ" },
      follow: { type: "boolean", alias: "f", description: "go on until the instance ends" },
      file: {
        type: "string",
        valueHint: "PATH",
        description: "another file of the instance's directory (agent.log)",
      },
      ...placeArgs,
    },
    run: async (here, args) => await (await import("./logs.ts")).showInstanceLog(here, args),
  },
  clear: {
    description:
      "Say that nothing is left running on a testbed, where the factory cannot tell; lifts a quarantine",
    args: {
      testbed: { type: "positional", description: "TESTBED" },
      because: { type: "string", valueHint: "TEXT", description: "what the job's owner reads" },
      yes: { type: "boolean", description: "do not ask" },
      ...baseArgs,
    },
    run: async (here, args) => await (await import("./clear.ts")).clearTestbedByWord(here, args),
  },
  service: {
    description: "Install this program as a service that systemd keeps running; or remove it",
    args: serviceArgs,
    run: async (here, args) => await (await import("./service/words.ts")).controlService(here, args),
  },
  demo: {
    description: "Show it at work: ten jobs on five simulated testbeds, under 20 s",
    run: async (here) => await (await import("./demo/demo.ts")).runDemo(here),
  },
  devserver: {
    description: "An embedded buildomat server, for development only",
    args: { port: { type: "string", valueHint: "PORT", description: "on 127.0.0.1 (a free one)" } },
    run: async (here, args) => await (await import("./devserver.ts")).runDevserver(here, args),
  },
  agent: {
    description: "The built-in job agent",
    isHidden: true,
    takesRest: true,
    run: async (here, _, words) => await (await import("../agent/command.ts")).runAgentCommand(words, here),
  },
  bmat: {
    description: "The in-job control program",
    isHidden: true,
    takesRest: true,
    run: async ({ clock, around: { env } }, _, words) =>
      await (await import("../agent/bmat/bmat.ts")).runBmat(words, { clock, env }),
  },
};
