/** The demo's jobs, and how each should end. */
import type { JobRequest } from "../../devserver/customer.ts";

export interface DemoJob {
  title: string;
  request: JobRequest;
  /** Content of the inputs that the request names. */
  inputs: Record<string, string>;
  /** Its owner cancels it as soon as it runs. */
  isCancelled: boolean;
  expected: "completed" | "failed";
  /** Output path -> SHA-256 that the server's copy must have. */
  outputs: Record<string, string>;
  /** A line that its standard output must contain. */
  says: string | null;
}

/** SHA-256 of `seq 1 200000`, computed with sha256sum. */
const seqSha256 = "5af7b95208fdcff454bab3f5eddf567a688a3796c703d4fef91072e38645c062";

function job(
  title: string,
  target: string,
  scripts: string[],
  more: Partial<DemoJob> & { rules?: string[] } = {},
): DemoJob {
  const { rules = [], inputs = {}, ...rest } = more;
  return {
    title,
    request: {
      name: title,
      target,
      tasks: scripts.map((script, index) => ({ name: `task-${index}`, script, env_clear: false, env: {} })),
      output_rules: rules,
      inputs: Object.keys(inputs),
    },
    inputs,
    isCancelled: false,
    expected: "completed",
    outputs: {},
    says: null,
    ...rest,
  };
}

export const demoTargets = {
  grapefruit: "sp-grapefruit",
  gimlet: "sp-gimlet",
  sidecar: "sp-sidecar",
  psc: "sp-psc",
};

export const demoJobs: DemoJob[] = [
  job("two-tasks", demoTargets.grapefruit, ["echo building", "echo testing on $SP_TESTBED, a $SP_TYPE"]),
  job("output-upload", demoTargets.grapefruit, ["seq 1 200000 > /work/numbers.txt"], {
    rules: ["=/work/numbers.txt"],
    outputs: { "/work/numbers.txt": seqSha256 },
  }),
  job("script-fails", demoTargets.grapefruit, ["echo about to fail; exit 3"], { expected: "failed" }),
  job(
    "store-put-get",
    demoTargets.grapefruit,
    ["bmat store put board rev-c", 'echo "the board is $(bmat store get board)"'],
    { says: "the board is rev-c" },
  ),
  job("input-file", demoTargets.grapefruit, ["cat /input/notes.txt"], {
    inputs: { "notes.txt": "flash with care\n" },
    says: "flash with care",
  }),
  job("cancelled", demoTargets.gimlet, ["echo waiting to be cancelled; sleep 600"], {
    isCancelled: true,
    expected: "failed",
  }),
  job("queued-first", demoTargets.gimlet, ["echo first on $SP_TESTBED; sleep 1"]),
  job("queued-second", demoTargets.gimlet, ["echo second on $SP_TESTBED"]),
  job("hardware-test", demoTargets.sidecar, ["true"], { says: "done" }),
];

/** For the testbed behind ssh, if the demo has one. */
export const sshJob: DemoJob = job("over-ssh", demoTargets.psc, ["echo $SP_TESTBED over ssh"], {
  says: "psc-1 over ssh",
});
