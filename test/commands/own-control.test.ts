/** The control socket of a running factory: who may look and who may steer, as real users. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { openFactoryClient } from "../../lib/control/client.ts";
import { openClock } from "../../lib/doors/clock.ts";
import { openHttp } from "../../lib/doors/http.ts";
import { openLab } from "../lab/lab.ts";
import { until } from "../lab/until.ts";

setDefaultTimeout(60_000);

const http = openHttp({ clock: openClock() });

test.concurrent("a running factory answers on its control socket, and takes it away when it ends", async () => {
  await using it = await openLab();
  const path = join(it.base, "control/control.sock");
  const client = openFactoryClient({ http, path });
  expect(await client.status()).toMatchObject({ ok: false, is: "nobody" });
  const factory = it.start();
  const status = await until("it answers", async () => {
    const answer = await client.status();
    return answer.ok && answer.value;
  });
  expect(status).toMatchObject({ format: 1, factory: { isRunning: true, mode: "run" } });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(await client.history({ most: 10 })).toMatchObject({ ok: true });
  factory.kill("SIGKILL");
  await factory.exited;
  expect(await client.status()).toMatchObject({ ok: false, is: "nobody" });
  const again = it.start();
  await until("it answers", async () => (await client.status()).ok);
  again.kill("SIGTERM");
  expect(await again.exited).toBe(0);
  expect(existsSync(path)).toBe(false);
});
