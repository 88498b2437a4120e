/** The verbs that steer a factory: what each takes. All but `clear` and `cancel` are one act each. */
import type { ArgsDef } from "citty";
import type { ActVerb } from "../../control/act.ts";
import { type Command, usageError } from "../command-line.ts";
import { baseArgs, valued } from "../flags.ts";
import type { ThisProcess } from "../this-process.ts";

type Examples = NonNullable<Command<ThisProcess>["examples"]>;

const testbedArgs: ArgsDef = {
  testbed: { type: "positional", description: "its name in the configuration" },
};
const noteArgs: ArgsDef = {
  note: valued("TEXT", "for people, in status and history"),
};
const forArgs = (usual: string): ArgsDef => ({
  for: valued("2h", `how long (default: ${usual})`),
});

const act = (
  verb: ActVerb,
  description: string,
  args: ArgsDef,
  examples: Examples,
): Command<ThisProcess> => ({
  description,
  args: { ...args, ...baseArgs },
  examples,
  run: async (here, given) => {
    const { steer, actArgs } = await import("./steer.ts");
    const { testbed } = given as { testbed?: string };
    if ("testbed" in args && testbed === undefined) throw usageError(`${verb} needs a testbed`);
    return await steer(here, given, {
      verb,
      ...(testbed === undefined ? {} : { testbed }),
      ...actArgs(given),
    });
  },
});

export const steeringVerbs: Record<string, Command<ThisProcess>> = {
  pause: act(
    "pause",
    "Keep new jobs from a testbed; a job that runs there runs on",
    {
      ...testbedArgs,
      ...noteArgs,
      ...forArgs("until resume"),
      "after-job": { type: "boolean", description: "after the job that it has, or the next one" },
    },
    [
      ['pause gimlet-1 --note "new cable" --for 2h', "takes jobs again after two hours"],
      ["pause gimlet-1 --after-job", "lets it do one more job"],
    ],
  ),
  resume: act("resume", "End a pause", { ...testbedArgs, ...noteArgs }, [
    ["resume gimlet-1", "takes jobs again"],
    ['resume gimlet-1 --note "cable replaced"', "says why, for history"],
  ]),
  reserve: act(
    "reserve",
    "Take a testbed for work at the bench; a job that runs there runs on",
    { ...testbedArgs, ...noteArgs, ...forArgs("1h") },
    [
      ["reserve gimlet-1 --for 1h", "keeps new jobs away for an hour"],
      ['reserve gimlet-1 --for 1d --note "bring-up"', "names the work, for others"],
    ],
  ),
  release: act(
    "release",
    "End a reservation",
    { ...testbedArgs, ...noteArgs, yes: { type: "boolean", description: "also somebody else's" } },
    [
      ["release gimlet-1", "gives it back"],
      ["release gimlet-1 --yes", "also if somebody else reserved it"],
    ],
  ),
  quarantine: act(
    "quarantine",
    "Keep jobs from a testbed that is not trusted",
    { ...testbedArgs, ...noteArgs },
    [
      ['quarantine gimlet-1 --note "resets at random"', "takes no job until trust"],
      ["quarantine gimlet-1", "the same without a note"],
    ],
  ),
  trust: act(
    "trust",
    "End a quarantine, whether an operator or the factory began it",
    { ...testbedArgs, ...noteArgs },
    [
      ["trust gimlet-1", "takes jobs again"],
      ['trust gimlet-1 --note "power supply replaced"', "says why, for history"],
    ],
  ),
  recover: act(
    "recover",
    "Try a testbed again now: its service recovers the board, or it is looked at anew",
    { ...testbedArgs, ...noteArgs },
    [
      ["recover psc-1", "tells its sp-runner service to recover the board"],
      ["recover gimlet-1", "forgets its failures and looks at its host again"],
    ],
  ),
  drain: act("drain", "Take no new job; the factory ends when what runs has ended", noteArgs, [
    ["drain", "lets what runs end"],
    ['drain --note "moving the rack"', "says why, for history"],
  ]),
  reload: act("reload", "Read config.toml anew", noteArgs, [
    ["reload", "uses what the file says now"],
    ['reload --note "new board"', "says why, for history"],
  ]),
  cancel: {
    description: "Cancel the job on a testbed, as the job's owner",
    args: {
      ...testbedArgs,
      "token-file": valued("FILE", "holds the token of the user who submitted the job"),
      ...noteArgs,
      ...baseArgs,
    },
    examples: [
      ["cancel gimlet-1 --token-file ~/.buildomat-token", "asks the server to cancel it"],
      ["cancel gimlet-1", "says which job it is, and who can cancel it"],
    ],
    run: async (here, given) => await (await import("./cancel.ts")).cancelJob(here, given),
  },
  clear: {
    description: "Free a stuck testbed: end its instance, and vouch that nothing of it is left running",
    args: {
      ...testbedArgs,
      because: valued("TEXT", "the reason, which the job's owner reads"),
      yes: { type: "boolean", description: "do not ask, and vouch" },
      ...baseArgs,
    },
    examples: [
      ['clear gimlet-1 --because "its host burnt down"', "ends its job, once you have confirmed"],
      ['clear gimlet-1 --because "power cut" --yes', "does not ask"],
    ],
    run: async (here, given) => await (await import("./clear.ts")).clearTestbed(here, given),
  },
};
