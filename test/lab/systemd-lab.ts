/** A lab host with a real systemd, and a buildomat server that it reaches: for tests of the installed program. */
import { openCustomerApi, type CustomerApi, type Job } from "../../lib/devserver/customer.ts";
import { Secret } from "../../lib/words/secret.ts";
import { must } from "./lab.ts";
import { openSystemdBox, type SystemdBox } from "./systemd-box.ts";
import { until } from "./until.ts";

export interface SystemdLab extends AsyncDisposable {
  box: SystemdBox;
  /** The flags for `setup`, as words of a shell; the token is in a file. */
  setup: string;
  submit(script: string): Promise<string>;
  ended(id: string): Promise<Job>;
  said(id: string): Promise<string[]>;
  /** Waits until a job's output has this line. */
  says(id: string, line: string): Promise<void>;
}

const url = "http://127.0.0.1:8000";

export async function openSystemdLab(): Promise<SystemdLab> {
  const box = await openSystemdBox();
  try {
    const bun = [process.execPath, "--no-env-file", "--config=/dev/null"];
    const server = box.startBeside([
      ...bun,
      `${import.meta.dir}/../../factory.ts`,
      "devserver",
      "--port",
      "8000",
    ]);
    const adminToken = await readToken(server.stdout);
    const { http } = box;
    const admin = openCustomerApi({ http, baseurl: url, token: new Secret(adminToken) });
    const target = must(await admin.createTarget("sp-grapefruit", "a target for tests"));
    const factory = must(await admin.createFactory("lab"));
    const user: CustomerApi = openCustomerApi({
      http,
      baseurl: url,
      token: new Secret(must(await admin.createUser("engineer")).token),
    });
    await box.must("mkdir -p /etc/lab && cat >/etc/lab/token && chmod 644 /etc/lab/token", {
      stdin: factory.token,
    });
    // Here setup finds testbeds.
    await box.must(
      `mkdir -p /etc/lab/testbeds/discovered && echo >/etc/lab/config.toml &&
       printf 'sp_type = "grapefruit"\\n' >/etc/lab/testbeds/discovered/grapefruit-1.toml`,
    );
    const said = async (id: string): Promise<string[]> =>
      must(await user.events(id))
        .filter(({ stream }) => stream === "stdout")
        .map(({ payload }) => payload);
    return {
      box,
      setup: `--server-url ${url} --token-file /etc/lab/token --sp-runner sp-runner --sp-config /etc/lab/config.toml --target sp-grapefruit=${target.id}`,
      submit: async (script) =>
        must(
          await user.submitJob({
            name: "job",
            target: "sp-grapefruit",
            tasks: [{ name: "task", script, env_clear: false, env: {} }],
            output_rules: [],
          }),
        ).id,
      ended: async (id) =>
        await until("the job ends", async () => {
          const job = must(await user.job(id));
          return job.state === "completed" || job.state === "failed" ? job : null;
        }),
      said,
      says: async (id, line) =>
        void (await until(`the job says "${line}"`, async () => (await said(id)).includes(line))),
      [Symbol.asyncDispose]: () => box[Symbol.asyncDispose](),
    };
  } catch (error) {
    await box[Symbol.asyncDispose]();
    throw error;
  }
}

async function readToken(output: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const part of output) {
    text += new TextDecoder().decode(part);
    const token = /admin token: (\S+)\n/.exec(text)?.[1];
    if (token !== undefined) return token;
  }
  throw new Error(`the server did not start: ${text}`);
}
