/** The name of a job while it runs, as `status` shows it: of each agent. Behind ssh the next look shows it. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { type Lab, openLab } from "../lab/lab.ts";
import { drained } from "../lab/ssh-lab.ts";
import { until } from "../lab/until.ts";

setDefaultTimeout(60_000);

const ways: Record<string, () => Promise<Lab>> = {
  "the built-in agent": () => openLab({ agent: "builtin" }),
  "another agent": () => openLab({ agent: "stub" }),
};

test.concurrent.each(Object.entries(ways))("%s shows the name of its job", async (_, open) => {
  await using it = await open();
  const factory = it.start();
  const end = join(it.directory, "end");
  const id = await it.submit(`while [ ! -e '${end}' ]; do sleep 0.1; done`, { name: 'power "on"' });
  const shown = await until("the name is shown", async () => {
    const asked = it.start({ command: ["status", "--json"] });
    // The factory may not have made its database yet.
    if ((await asked.exited) !== 0) return null;
    const { testbeds } = JSON.parse(await asked.stdout()) as {
      testbeds: { job: { id: string; name: string | null } | null }[];
    };
    const job = testbeds[0]?.job ?? null;
    return job === null || job.name === null ? null : job;
  });
  expect(shown).toMatchObject({ id, name: 'power "on"' });
  await Bun.write(end, "");
  await it.ended(id);
  await drained(factory);
});
