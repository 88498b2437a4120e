/** The minder's program: one POSIX sh script, kept in parts that can be read one by one. */
import minder from "./minder.sh" with { type: "text" };
import process from "./process.sh" with { type: "text" };
import place from "./place.sh" with { type: "text" };
import isolation from "./isolation.sh" with { type: "text" };
import lock from "./lock.sh" with { type: "text" };
import record from "./record.sh" with { type: "text" };
import arm from "./arm.sh" with { type: "text" };
import build from "./build.sh" with { type: "text" };
import attend from "./attend.sh" with { type: "text" };
import first from "./first.sh" with { type: "text" };
import cover from "./cover.sh" with { type: "text" };
import mounts from "./mounts.sh" with { type: "text" };
import go from "./go.sh" with { type: "text" };
import look from "./look.sh" with { type: "text" };
import stop from "./stop.sh" with { type: "text" };
import tidy from "./tidy.sh" with { type: "text" };
import former from "./former.sh" with { type: "text" };
import verbs from "./verbs.sh" with { type: "text" };

export const minderScript = [
  minder,
  process,
  place,
  isolation,
  lock,
  record,
  arm,
  build,
  attend,
  first,
  cover,
  mounts,
  go,
  look,
  stop,
  tidy,
  former,
  verbs,
].join("\n");
