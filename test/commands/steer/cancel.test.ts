/** `cancel TESTBED` through the real server: only the job's owner may. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openCustomerApi } from "../../../lib/devserver/customer.ts";
import { openClock } from "../../../lib/doors/clock.ts";
import { openHttp } from "../../../lib/doors/http.ts";
import { Secret } from "../../../lib/words/secret.ts";
import { type Lab, must, openLab } from "../../lab/lab.ts";
import { until } from "../../lab/until.ts";

setDefaultTimeout(60_000);

async function cancel(it: Lab, ...args: string[]): Promise<[number, string]> {
  const command = it.start({ command: ["cancel", "bed-1"], args });
  const said = await command.stdout();
  return [await command.exited, said];
}

test("a job is cancelled with its owner's token, and with no other one; without a token its two ends are named", async () => {
  await using it = await openLab();
  const http = openHttp({ clock: openClock() });
  const tokenOf = async (name: string): Promise<[string, string]> => {
    const { token } = must(await it.admin.createUser(name));
    const path = join(it.directory, `${name}.token`);
    writeFileSync(path, `${token}\n`);
    return [token, path];
  };
  const [token, path] = await tokenOf("owner");
  const [, other] = await tokenOf("other");
  const factory = it.start();
  await until("it answers", async () => (await cancel(it))[1] === "bed-1 has no job\n");
  const owner = openCustomerApi({ http, baseurl: it.proxy.url, token: new Secret(token) });
  const tasks = [{ name: "sleep", script: "echo begun; sleep 1000", env_clear: false, env: {} }];
  const { id } = must(await owner.submitJob({ name: "long", target: "sp-test", tasks, output_rules: [] }));
  await until("it runs", async () => must(await owner.events(id)).some(({ payload }) => payload === "begun"));
  const [code, said] = await cancel(it);
  expect(code).toBe(1);
  expect(said).toContain(`job ${id} runs on: the server lets only the user who submitted a job cancel it`);
  expect(said).toContain("cancel bed-1 --token-file FILE");
  expect(said).toContain("clear bed-1 --because TEXT");
  expect((await cancel(it, "--token-file", join(it.directory, "none")))[0]).toBe(2);
  // A directory cannot be read, as another user's file cannot.
  expect((await cancel(it, "--token-file", it.directory))[0]).toBe(2);
  const [refused, why] = await cancel(it, "--token-file", other);
  expect([refused, why]).toEqual([1, expect.stringContaining(`the server does not cancel job ${id}: `)]);
  expect(must(await owner.job(id)).state).toBe("running");
  expect(await cancel(it, "--token-file", path)).toEqual([
    0,
    `bed-1: the server cancels job ${id}; what runs of it is ended in a moment\n`,
  ]);
  expect(await until("it is over", async () => must(await owner.job(id)).cancelled)).toBe(true);
  factory.kill("SIGUSR1");
  expect(await factory.exited).toBe(0);
});
