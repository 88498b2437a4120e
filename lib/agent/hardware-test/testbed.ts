/** The testbed of a hardware test, as the factory wrote it into testbed.json. */
import { z } from "zod";
import { AgentError } from "../agent-files.ts";

const runnerSchema = z.object({
  testbed: z.string(),
  sp_runner_url: z.string(),
  /** As the service's host names them: files are shared, not sent. */
  input_dir: z.string().startsWith("/"),
  output_dir: z.string().startsWith("/"),
  test_type: z.string(),
  baseline: z.string(),
  disable_watchdog: z.boolean(),
});
export type RunnerTestbed = z.output<typeof runnerSchema>;

/**
 * Null if no service works on the testbed's board. Throws AgentError if that is not certain: the tasks' scripts must
 * not run on a host whose board a service works on.
 */
export function readRunner(testbedJson: string | null): RunnerTestbed | null {
  if (testbedJson === null) return null;
  let testbed: unknown;
  try {
    testbed = JSON.parse(testbedJson);
  } catch (error) {
    throw new AgentError(`Cannot read testbed.json: it is not JSON`, { cause: error });
  }
  if (typeof testbed !== "object" || testbed === null || Array.isArray(testbed)) {
    throw new AgentError("Cannot read testbed.json: it is not an object");
  }
  if (!("sp_runner_url" in testbed)) return null;
  const known = runnerSchema.safeParse(testbed);
  if (known.success) return known.data;
  const issue = known.error.issues[0];
  throw new AgentError(`Cannot read testbed.json: ${issue?.path.join(".")}: ${issue?.message}`);
}
