import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createJobCalls } from "../../../lib/agent/job-calls.ts";
import { uploadOutputs } from "../../../lib/agent/outputs/upload.ts";
import type { Answer } from "../../../lib/server/call.ts";
import { openClock } from "../../../lib/doors/clock.ts";
import type { Log } from "../../../lib/words/logger.ts";
import type { Commit, WorkerApi } from "../../../lib/server/worker-side.ts";

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "upload-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

interface Scene {
  /** Below the root, with the marks of a rule. */
  rule?: string;
  /** A rule as it is, instead. */
  absolute?: string;
  quota?: number;
  /** Called when the server is asked for the quota: after the scan, before the file is opened. */
  onQuota?: () => void;
  onChunk?: (count: number) => void;
  /** By how often it was asked. */
  commit?: (polls: number) => Commit;
  more?: Partial<Parameters<typeof uploadOutputs>[0]>;
}

async function upload({
  rule = "/*",
  absolute,
  quota = 1_000_000_000,
  onQuota,
  onChunk,
  commit,
  more,
}: Scene = {}) {
  const clock = openClock();
  const events: string[] = [];
  const chunks: number[] = [];
  const sleeps: number[] = [];
  const commits: string[] = [];
  let ulids = 0;
  const give = <T>(value: T): Answer<T> => ({ ok: true, value });
  const api = {
    quota: async () => {
      onQuota?.();
      return give({ max_bytes_per_output: quota });
    },
    chunk: async (_: string, bytes: Uint8Array) => {
      chunks.push(bytes.length);
      onChunk?.(chunks.length);
      return give({ id: `chunk-${chunks.length}` });
    },
    output: async (_: string, output: { commit_id: string }) => {
      commits.push(JSON.stringify(output));
      return give((commit ?? ((polls: number) => ({ complete: polls > 1, error: null })))(commits.length));
    },
  } as unknown as WorkerApi;
  const [, marks = "", path = ""] = /^([=%!]*)(.*)$/.exec(rule) ?? [];
  const output_rules = [
    {
      rule: absolute ?? `${root}${path}`,
      ignore: marks.includes("!"),
      require_match: marks.includes("="),
      size_change_ok: marks.includes("%"),
    },
  ];
  const fault = await uploadOutputs({
    job: { id: "J", name: "job", output_rules, tasks: [], inputs: [] },
    api,
    calls: createJobCalls({ clock, log: silent, doubt: () => undefined }),
    clock: {
      ...clock,
      sleep: async (ms) => {
        sleeps.push(ms);
      },
    },
    createUlid: () => `ULID-${(ulids += 1)}`,
    put: async (_, payload) => void events.push(payload.replaceAll(root, "")),
    ...more,
  });
  return { isGood: fault === null, events, chunks, sleeps, commits };
}

describe("uploadOutputs()", () => {
  test("sends a file in chunks of 5 MiB, commits it once, and asks until it is done", async () => {
    writeFileSync(join(root, "f"), new Uint8Array(5_242_880 * 2 + 1));
    const { isGood, chunks, commits, sleeps, events } = await upload({
      commit: (polls) => ({ complete: polls > 8, error: null }),
    });
    expect(isGood).toBe(true);
    expect(chunks).toEqual([5_242_880, 5_242_880, 1]);
    expect(new Set(commits).size).toBe(1);
    expect(JSON.parse(commits[0] ?? "")).toEqual({
      path: join(root, "f"),
      size: 10_485_761,
      chunks: ["chunk-1", "chunk-2", "chunk-3"],
      commit_id: "ULID-1",
    });
    expect(sleeps).toEqual([20, 50, 100, 200, 500, 1000, 1000, 1000]);
    expect(events).toEqual(["found 1 output files", "uploading: /f (10485761 bytes)", "uploaded: /f"]);
  });

  test.each([0, 1, 2])(
    "sends a file of %i whole chunks that is just as large as the quota",
    async (count) => {
      const size = 5_242_880 * count;
      writeFileSync(join(root, "f"), new Uint8Array(size));
      const { isGood, chunks, commits } = await upload({ quota: size });
      expect({ isGood, chunks }).toEqual({ isGood: true, chunks: Array<number>(count).fill(5_242_880) });
      expect(JSON.parse(commits[0] ?? "")).toMatchObject({ size });
    },
  );

  test("sends an empty file without a chunk", async () => {
    writeFileSync(join(root, "f"), "");
    const { isGood, chunks, commits } = await upload();
    expect({ isGood, chunks }).toEqual({ isGood: true, chunks: [] });
    expect(JSON.parse(commits[0] ?? "")).toMatchObject({ size: 0, chunks: [] });
  });

  test("reports the server's error word for word", async () => {
    writeFileSync(join(root, "f"), "x");
    const { isGood, events } = await upload({
      rule: "=/f",
      commit: () => ({ complete: true, error: "job J file: expected size 7 != chunk size 5 (after 0ms)" }),
    });
    expect(isGood).toBe(false);
    expect(events.slice(2)).toEqual([
      "upload error: job J file: expected size 7 != chunk size 5 (after 0ms)",
      `upload error: rule "/f" required a match, but was not used`,
    ]);
  });

  test("does not send a file over the quota", async () => {
    writeFileSync(join(root, "f"), "12345");
    const { isGood, chunks, events } = await upload({ quota: 4 });
    expect({ isGood, chunks }).toEqual({ isGood: false, chunks: [] });
    expect(events[2]).toBe(
      'upload error: file "/f" is 5 bytes in size, which is larger than the maximum output size of 4 bytes and cannot be uploaded at this time.',
    );
  });

  test("a file that changes size is an error, and is not committed", async () => {
    writeFileSync(join(root, "f"), "12345");
    const onQuota = (): void => appendFileSync(join(root, "f"), "678");
    const { isGood, events, commits } = await upload({ onQuota });
    expect({ isGood, commits }).toEqual({ isGood: false, commits: [] });
    expect(events.slice(2)).toEqual(['upload error: file "/f" changed size mid upload: 5 -> 8']);
  });

  test("a file that may change size is a warning, and what was read is committed", async () => {
    writeFileSync(join(root, "f"), "12345");
    const onQuota = (): void => truncateSync(join(root, "f"), 2);
    const { isGood, events, commits } = await upload({ rule: "%/*", onQuota });
    expect(isGood).toBe(true);
    expect(JSON.parse(commits[0] ?? "")).toMatchObject({ size: 2 });
    expect(events.slice(2)).toEqual([
      'upload warning: file "/f" changed size mid upload: 5 -> 2',
      "uploaded: /f",
    ]);
  });

  test("a file that grows without end is given up at the quota", async () => {
    const path = join(root, "f");
    writeFileSync(path, new Uint8Array(5_242_880));
    const onChunk = (): void => appendFileSync(path, new Uint8Array(5_242_880));
    const { isGood, events, chunks } = await upload({ rule: "%/*", quota: 20_000_000, onChunk });
    expect(isGood).toBe(false);
    expect(chunks).toHaveLength(4);
    expect(events.at(-1)).toContain("is 20971520 bytes in size, which is larger than");
  });

  test.each([
    ["%/*", true, 'upload warning: file "/f" disappeared between scan and upload'],
    [
      "/*",
      false,
      'upload error: open "/f" failed: Os { code: 2, kind: NotFound, message: "No such file or directory" }',
    ],
  ])("a file that is gone, by %s: %p", async (rule, good, event) => {
    writeFileSync(join(root, "f"), "x");
    const { isGood, events } = await upload({ rule, onQuota: () => rmSync(join(root, "f")) });
    expect(isGood).toBe(good);
    expect(events.slice(2)).toEqual([event]);
  });

  test("a file that became a pipe does not hold the job up", async () => {
    const path = join(root, "f");
    writeFileSync(path, "x");
    const { isGood, events } = await upload({
      onQuota: () => {
        rmSync(path);
        Bun.spawnSync(["mkfifo", path]);
      },
    });
    expect(isGood).toBe(false);
    expect(events[2]).toStartWith('upload error: open "/f" failed: ');
  });

  test("sends what is wanted whatever the rules say, once, under the name that the job knows", async () => {
    writeFileSync(join(root, "report"), "x");
    const locate = (path: string): string => path.replace(/^\/work\//, `${root}/`);
    const wanted = ["/work/report", "/work/none"];
    for (const rule of ["!/*", "/none"]) {
      const { isGood, events, commits } = await upload({ rule, more: { locate, wanted } });
      expect(isGood).toBe(true);
      expect(events).toEqual([
        "found 1 output files",
        "uploading: /work/report (1 bytes)",
        "uploaded: /work/report",
      ]);
      expect(JSON.parse(commits[0] ?? "")).toMatchObject({ path: "/work/report" });
    }
    expect((await upload({ more: { wanted: [join(root, "report")] } })).commits).toHaveLength(2);
  });

  test("F60 sends nothing from outside a hardware test's own directories", async () => {
    for (const name of ["work", "opt", "workshop"]) mkdirSync(join(root, name));
    for (const name of ["work/good", "opt/secret", "workshop/x"]) writeFileSync(join(root, name), "x");
    symlinkSync(join(root, "opt/secret"), join(root, "work/link"));
    const locate = (path: string): string => path.replace(/^\/work(?=\/|$)/, `${root}/work`);
    const more = { locate, within: [join(root, "work")] };
    expect((await upload({ absolute: "/work/good", more })).commits).not.toEqual([]);
    for (const absolute of [
      "/work/../opt/secret",
      "/work/link",
      "/work/../workshop/x",
      join(root, "opt/secret"),
      "/etc/passwd",
    ]) {
      const { isGood, commits, events } = await upload({ absolute, more });
      expect({ absolute, isGood, commits }).toEqual({ absolute, isGood: false, commits: [] });
      expect(events[0]).toEndWith("is not in the job's own directories");
    }
  });

  test("sends a wanted file though it changes meanwhile", async () => {
    const path = join(root, "log");
    writeFileSync(path, "x");
    const onQuota = (): void => appendFileSync(path, "y");
    expect((await upload({ onQuota })).isGood).toBe(false);
    expect((await upload({ onQuota, more: { wanted: [path] } })).isGood).toBe(true);
  });

  test("a file that an agent before this one sent is not an error", async () => {
    writeFileSync(join(root, "f"), "x");
    const error = "UNIQUE constraint failed: job_output.job, job_output.path (after 0ms)";
    const commit = (): Commit => ({ complete: true, error });
    expect((await upload({ commit })).isGood).toBe(false);
    const again = await upload({ commit, rule: "=/f", more: { isResumed: true } });
    expect(again.isGood).toBe(true);
    expect(again.events.at(-1)).toBe("uploaded: /f");
    const other = (): Commit => ({ complete: true, error: "no space" });
    expect((await upload({ commit: other, more: { isResumed: true } })).isGood).toBe(false);
  });
});
