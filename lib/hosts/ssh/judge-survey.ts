/** Judges a host behind ssh for `check`, by the same rules as this host. Pure. */
import type { Testbed } from "../../config/config.ts";
import { type Fault, faultOf, inOne, judgeRoom, type Room } from "../work-directory.ts";
import type { Survey } from "./survey.ts";

const workSetting = ({ name }: Testbed): string => `testbed.${name}.work_dir`;

/** Null: not known. */
function roomThere(testbed: Testbed, { freeBytes, workDirectory }: Survey): Room | null {
  return freeBytes === null ? null : judgeRoom(freeBytes, workDirectory, workSetting(testbed));
}

/** What is wrong with the work directory there, with the fix; null: nothing that a look can find. */
export function faultThere(testbed: Testbed, survey: Survey): string | null {
  const { place, uid } = survey;
  const fault = place === null ? null : faultOf(place, uid, workSetting(testbed));
  const room = roomThere(testbed, survey);
  if (fault !== null) return inOne(fault);
  return room?.is === "too little" ? inOne(room) : null;
}

/** Like the minder's is_agent_fit, but it cannot find out whether the host refuses namespaces. */
export function whyUnfit(
  { agent, isMainLine, system }: Survey,
  isElevated: boolean,
  isolate: string,
): string | null {
  if (!isMainLine) return null;
  const need = !isElevated
    ? "root, which general.use_privilege_elevation = true gives"
    : system !== "Linux"
      ? "isolation, which exists only on Linux"
      : isolate === "off"
        ? 'isolation; set general.isolate = "auto"'
        : null;
  if (need === null) return null;
  return `the agent ${agent} is from buildomat's main line and needs ${need}; or use another agent`;
}

/** What was tried there and is good. `agent`: the agent's path there; null: a copy of this program. */
export function triedThere(testbed: Testbed, survey: Survey, agent: string | null): string {
  const { user, workDirectory, hasBash } = survey;
  const room = roomThere(testbed, survey)?.message ?? workDirectory;
  const program =
    agent === null ? "this program is copied there to run as the agent" : `the agent is ${agent}`;
  return [`ssh logs in as ${user}`, room, ...(hasBash ? ["bash is there"] : []), program].join("; ");
}

/** Faults that a lab should know although jobs can run. */
export function remarksOn(testbed: Testbed, survey: Survey): string[] {
  const faults: Fault[] = [];
  if (!survey.hasBash)
    faults.push({ message: "there is no /bin/bash: jobs are bash scripts", fix: "Install it" });
  const room = roomThere(testbed, survey);
  if (room?.is === "little") faults.push(room);
  return faults.map(inOne);
}
