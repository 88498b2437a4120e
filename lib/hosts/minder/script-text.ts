/** The minder's program: one POSIX sh script, joined from parts that can be read one by one. */
import minder from "./sh/minder.sh" with { type: "text" };
import process from "./sh/process.sh" with { type: "text" };
import place from "./sh/place.sh" with { type: "text" };
import isolation from "./sh/isolation-probe.sh" with { type: "text" };
import lock from "./sh/lock.sh" with { type: "text" };
import record from "./sh/record.sh" with { type: "text" };
import arm from "./sh/arm.sh" with { type: "text" };
import build from "./sh/build.sh" with { type: "text" };
import nap from "../nap.sh" with { type: "text" };
import attend from "./sh/wait-for-go.sh" with { type: "text" };
import first from "./sh/first.sh" with { type: "text" };
import cover from "./sh/cover.sh" with { type: "text" };
import mounts from "./sh/own-mounts.sh" with { type: "text" };
import go from "./sh/go.sh" with { type: "text" };
import look from "./sh/look.sh" with { type: "text" };
import stop from "./sh/stop.sh" with { type: "text" };
import tidy from "./sh/tidy.sh" with { type: "text" };
import former from "./sh/former.sh" with { type: "text" };
import verbs from "./sh/verbs.sh" with { type: "text" };

export const minderScript = [
  minder,
  process,
  place,
  isolation,
  lock,
  record,
  arm,
  build,
  nap,
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
