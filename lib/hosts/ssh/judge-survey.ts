/** What `check` makes of a host behind ssh, by the rules for this host. Pure. */
import type { Testbed } from "../../config/config.ts";
import {
  type Fault,
  faultOf,
  fewFreeBytes,
  inOne,
  lackOfRoom,
  makeRoom,
  showRoom,
} from "../work-directory.ts";
import type { Survey } from "./survey.ts";

/** What is wrong with the work directory there, with the mend; null: nothing that a look can tell. */
export function faultThere(
  testbed: Testbed,
  { place, freeBytes, uid, workDirectory }: Survey,
): string | null {
  const setting = workSetting(testbed);
  const fault =
    (place === null ? null : faultOf(place, uid, setting)) ??
    (freeBytes === null ? null : lackOfRoom(freeBytes, workDirectory, setting));
  return fault === null ? null : inOne(fault);
}

/** As the minder's is_agent_fit, as far as a look can tell: whether namespaces are refused there it cannot. */
export function whyUnfit(
  { agent, isMainLine, system }: Survey,
  isElevated: boolean,
  isolate: string,
): string | null {
  if (!isMainLine) return null;
  const need = !isElevated
    ? "root, which general.use_privilege_elevation = true gives"
    : system !== "Linux"
      ? "isolation, which only Linux has"
      : isolate === "off"
        ? 'isolation; set general.isolate = "auto"'
        : null;
  if (need === null) return null;
  return `the agent ${agent} is of buildomat's main line and needs ${need}; or use another agent`;
}

const workSetting = ({ name }: Testbed): string => `testbed.${name}.work_dir`;

/** What was tried there and is right. `agent`: what runs jobs there; null: a copy of this program. */
export function triedThere(
  {
    user,
    workDirectory,
    freeBytes,
    hasBash,
  }: Pick<Survey, "user" | "workDirectory" | "freeBytes" | "hasBash">,
  agent: string | null,
): string {
  const room = freeBytes === null ? workDirectory : showRoom(freeBytes, workDirectory);
  const program = agent === null ? "this program is copied there as the agent" : `the agent is ${agent}`;
  return [`ssh logs in as ${user}`, room, ...(hasBash ? ["bash is there"] : []), program].join("; ");
}

/** What a lab wants to know of, though jobs can run. */
export function remarksOn(testbed: Testbed, { freeBytes, workDirectory, hasBash }: Survey): string[] {
  const faults: Fault[] = [];
  if (!hasBash) faults.push({ message: "there is no /bin/bash: jobs are bash scripts", mend: "Install it" });
  if (freeBytes !== null && freeBytes < fewFreeBytes) {
    faults.push({ message: showRoom(freeBytes, workDirectory), mend: makeRoom(workSetting(testbed)) });
  }
  return faults.map(inOne);
}
