/** The built-in agent as a process of its own: `agent-main.ts run INPUT_DIRECTORY`, `agent-main.ts bmat ...`. */
import { runAgent } from "../../lib/agent/agent.ts";
import { runBmat } from "../../lib/agent/bmat/bmat.ts";
import { openClock } from "../../lib/doors/clock.ts";
import { openHttp } from "../../lib/doors/http.ts";
import { openRandom } from "../../lib/doors/random.ts";
import { openLog } from "../../lib/words/logger.ts";

const clock = openClock();
const [verb, ...rest] = process.argv.slice(2);
if (verb === "bmat") process.exit(await runBmat(rest, { clock, env: process.env }));
const controller = new AbortController();
process.on("SIGTERM", () => controller.abort());
const log = openLog({
  clock,
  format: "json",
  level: "info",
  secrets: [],
  write: (line) => process.stdout.write(line),
});
const code = await runAgent({
  clock,
  random: openRandom(),
  http: openHttp({ clock }),
  log,
  env: process.env,
  bmat: [process.execPath, import.meta.path, "bmat"],
  inputDirectory: rest[0] ?? "/input",
  signal: controller.signal,
});
process.exit(code);
