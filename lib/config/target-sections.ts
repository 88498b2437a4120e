/** The `[target.*]` sections. */
import { type Complain, tomlKey } from "./problems.ts";
import { isTargetName, targetSchema } from "./schema.ts";
import { entriesOf, readSection } from "./sections.ts";
import { parseUlid } from "../words/ulid.ts";

export interface Target {
  name: string;
  /** The server's ULID; null: the target cannot be asked for. */
  id: string | null;
}

export function readTargets(value: unknown, complain: Complain): Target[] {
  const targets: Target[] = [];
  const nameOfId = new Map<string, string>();
  for (const [name, section] of entriesOf(value, "target", complain)) {
    if (!isTargetName(name)) {
      const mend = "Name it with up to 128 characters, none of them a space or control character";
      complain(["target", name], "this name cannot be used", mend);
    }
    const target = readSection(targetSchema, section, ["target", name], complain);
    const id = target.id ?? parseUlid(name);
    const other = id === null ? undefined : nameOfId.get(id);
    if (other !== undefined) {
      const wrong = `[target.${tomlKey(other)}] has the same id`;
      complain(["target", name, "id"], wrong, "Keep one of the two sections");
    }
    if (id !== null) nameOfId.set(id, name);
    targets.push({ name, id });
  }
  return targets;
}
