/**
 * The verbs: one entry each, from which the command line, the usage and README's test read. A verb's file is loaded when it is
 * asked for, because the agent starts with every job.
 */
import type { Command } from "./command-line.ts";
import { baseArgs, jsonArgs, placeArgs, valued } from "./flags.ts";
import { serviceArgs } from "./service/flags.ts";
import { setupArgs } from "./setup/flags.ts";
import { steeringVerbs } from "./steer/verbs.ts";
import type { ThisProcess } from "./this-process.ts";

export const verbs: Record<string, Command<ThisProcess>> = {
  run: {
    description: "Lease jobs and run them until stopped",
    args: baseArgs,
    examples: [
      ["-f config.toml -d data.sqlite3", "uses these two files"],
      ["run --base-dir /srv/factory", "uses everything in that directory"],
    ],
    run: async (here, args) => await (await import("./run.ts")).runFactory(here, args),
  },
  setup: {
    description:
      "Write the configuration of a new factory, or add a testbed to it; asks for what the flags do not give",
    args: setupArgs,
    examples: [
      ["setup", "asks for everything"],
      ["setup --testbed psc-1 --type psc --host lab-3", "adds a testbed whose jobs run on lab-3"],
    ],
    run: async (here, args, words) => await (await import("./setup/setup.ts")).runSetup(here, args, words),
  },
  config: {
    description: "Show or change one key of config.toml; the rest of the file stays as it is",
    args: {
      act: { type: "positional", description: "get, set or unset" },
      key: { type: "positional", description: "as in testbed.gimlet-1.enabled" },
      value: { type: "positional", required: false, description: "for set, as in false or 2h" },
      ...baseArgs,
    },
    examples: [
      ["config set testbed.gimlet-1.enabled false", "takes no more jobs for it"],
      ["config get general.poll_interval", "shows what the file says"],
    ],
    run: async (here, args) => await (await import("./config.ts")).editConfig(here, args),
  },
  check: {
    description: "Report everything that would stop jobs here, and how to fix it",
    args: jsonArgs,
    examples: [
      ["check", "lists what would stop jobs, with its fix"],
      ["check --json", "the same for programs"],
    ],
    run: async (here, args) => await (await import("./check/check.ts")).checkHost(here, args),
  },
  status: {
    description: "Show what each testbed does, and why it takes no job; also works while no factory runs",
    args: {
      testbed: { type: "positional", required: false, description: "everything about this one" },
      watch: { type: "boolean", description: "show it anew each second, until Ctrl+C" },
      schema: { type: "boolean", description: "print the JSON Schema of --json" },
      ...jsonArgs,
    },
    examples: [
      [
        "status",
        "one line for each testbed; last: ✓ passed, ✗ failed, ! lost by the lab, - cancelled, · ended",
      ],
      ["status gimlet-1", "everything about one testbed"],
      ["status --watch", "the same each second"],
    ],
    run: async (here, args) => await (await import("./status.ts")).showStatus(here, args),
  },
  history: {
    description: "Show how jobs came out, what operators did, and when the lab or the server was at fault",
    args: {
      testbed: { type: "positional", required: false, description: "of this testbed only" },
      since: valued("7d", "all since then (default: the last 50)"),
      job: valued("NAME|ID", "of this job, or of all jobs of this name"),
      failed: { type: "boolean", description: "only jobs that failed or were lost" },
      count: valued("COUNT", "the last so many", "n"),
      ...jsonArgs,
    },
    examples: [
      ["history gimlet-1 --since 7d", "which jobs ran there this week, and what else happened"],
      ["history --failed --since 1d", "why jobs failed since yesterday"],
    ],
    run: async (here, args) => await (await import("./history.ts")).showHistory(here, args),
  },
  logs: {
    description: "Show the log of the job agent that runs on a testbed, or ran there last, or of a job",
    args: {
      instance: {
        type: "positional",
        description: "TESTBED, one of its instances: TESTBED/SEQ, or a job's id or its beginning",
      },
      follow: { type: "boolean", alias: "f", description: "keep reading until the instance ends" },
      file: valued("PATH", "another file of the instance's directory (default: agent.log)"),
      ...placeArgs,
    },
    examples: [
      ["logs gimlet-1 -f", "follows the job that runs there"],
      ["logs 01M8HEAQ7XMM", "shows yesterday's job, by the id that `history` shows"],
    ],
    run: async (here, args) => await (await import("./logs.ts")).showInstanceLog(here, args),
  },
  ...steeringVerbs,
  service: {
    description: "Install this program as a service that systemd keeps running; or remove it",
    args: serviceArgs,
    examples: [
      ["service install", "starts now and after each reboot"],
      ["service status", "shows version, trial and last failure"],
    ],
    run: async (here, args) => await (await import("./service/words.ts")).controlService(here, args),
  },
  update: {
    description: "Look for a new version, install it, or go back to the version before",
    args: {
      check: { type: "boolean", description: "say what there is (also without a flag)" },
      now: { type: "boolean", description: "install the newest version; jobs run on" },
      to: valued("VERSION", "install this version"),
      rollback: { type: "boolean", description: "go back to the version before" },
      retry: { type: "boolean", description: "also a version that was rolled back here" },
      "allow-downgrade": { type: "boolean", description: "also an older version" },
      ...baseArgs,
    },
    examples: [
      ["update", "shows whether there is a new version"],
      ["update --now", "installs it; jobs run on"],
    ],
    run: async (here, args) => await (await import("./update.ts")).updateFactory(here, args),
  },
  "self-test": {
    description: "What this executable is, once it has read its configuration and database",
    isHidden: true,
    args: jsonArgs,
    run: async (here, args) => await (await import("./self-test.ts")).testItself(here, args),
  },
  notify: {
    description: "Send a test to those whom [notify] names",
    args: { act: { type: "positional", description: "test" }, ...baseArgs },
    examples: [
      ["notify test", "shows whether they were reached"],
      ["notify test -f config.toml", "uses this file"],
    ],
    run: async (here, args) => await (await import("./notify.ts")).notifyVerb(here, args),
  },
  selftest: {
    description: "Prove each testbed, or one, by a small job through the real server",
    args: {
      testbed: {
        type: "positional",
        required: false,
        description: "only this one (default: all that take jobs)",
      },
      "token-file": valued("FILE", "contains a user's token of the server"),
      ...baseArgs,
    },
    examples: [
      ["selftest --token-file ~/token", "tests each testbed that takes jobs now"],
      ["selftest gimlet-1 --token-file ~/token", "tests one"],
    ],
    run: async (here, args) => await (await import("./selftest/selftest.ts")).runSelftest(here, args),
  },
  complete: {
    description: "Print the script with which a shell completes verbs, flags and testbeds: bash, zsh or fish",
    takesRest: true,
    examples: [
      ["complete bash >~/.local/share/bash-completion/completions/buildomat-factory-sp-test", "for bash"],
      ["complete fish >~/.config/fish/completions/buildomat-factory-sp-test.fish", "for fish"],
    ],
    run: async (here, _, words) => await (await import("./complete/complete.ts")).complete(words, here),
  },
  man: {
    description: "Print the manual page, made of the same texts as --help",
    examples: [
      ["man | man -l -", "shows it"],
      ["man >/usr/local/share/man/man1/buildomat-factory-sp-test.1", "installs it"],
    ],
    run: async ({ print }) => {
      print((await import("./man.ts")).manPage());
      return 0;
    },
  },
  schema: {
    description: "Print the JSON Schema of config.toml, for editors; setup puts a copy beside the file",
    examples: [
      ["schema", "prints it"],
      ["schema >config.schema.json", "for `#:schema ./config.schema.json` as the file's first line"],
    ],
    run: async ({ print }) => {
      print((await (await import("./schema.ts")).schemaText()).trimEnd());
      return 0;
    },
  },
  demo: {
    description: "Show a factory at work: ten jobs on five simulated testbeds, under 20 s",
    args: { keep: { type: "boolean", description: "go on and show the factory's page, until Ctrl+C" } },
    examples: [
      ["demo", "ten jobs on five testbeds"],
      ["demo --keep", "goes on, and prints the address of the factory's page"],
      ["demo 2>factory.log", "keeps the factory's log"],
    ],
    run: async (here, { keep }) =>
      await (await import("./demo/demo.ts")).runDemo(here, { isKept: keep === true }),
  },
  devserver: {
    description: "Run an embedded buildomat server, for development only",
    args: { port: valued("PORT", "on 127.0.0.1 (default: a free one)") },
    examples: [
      ["devserver", "takes a free port"],
      ["devserver --port 8000", "takes that port"],
    ],
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
