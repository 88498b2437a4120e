/** What `clear` shows of an open instance before it asks: what its host, its board's service and the server say now. */
import { lookAtFormer } from "../../daemon/rust-instances.ts";
import type { Hosts } from "../../hosts/host.ts";
import { askForBoard } from "../../runner/idle-board.ts";
import type { SpRunnerApi } from "../../runner/sp-runner.ts";
import type { FactoryApi } from "../../server/factory-side.ts";
import { type Instance, instanceName, isRust } from "../../words/domain.ts";

/** What is asked. */
export interface Asked {
  hosts: Hosts;
  api: FactoryApi;
  openRunner(url: string): SpRunnerApi;
}

/** `isHeld`: the server holds its worker, so that nothing may be touched. `canTell`: whether its processes can be seen. */
export async function describe(
  asked: Asked,
  instance: Instance,
): Promise<{ lines: string[]; isHeld: boolean; canTell: boolean }> {
  const { phase, job, endReason } = instance;
  const about = [phase, job === null ? null : `job ${job}`, endReason].filter((each) => each !== null);
  const worker = await describeWorker(asked, instance);
  const processes = await describeProcesses(asked, instance);
  const lines = [`${instanceName(instance)}: ${about.join(", ")}`, `  processes   ${processes.text}`];
  if (instance.place.way === "sp-runner") {
    const { spRunnerUrl: url } = instance.place;
    const found = await askForBoard(asked.openRunner(url), url, instance.testbed);
    lines.push(`  board       ${found.ok ? `sp-runner ${url} says ${found.board.status}` : found.reason}`);
  }
  return {
    lines: [...lines, `  worker      ${worker.text}`],
    isHeld: worker.isHeld,
    canTell: processes.canTell,
  };
}

async function describeProcesses(
  { hosts }: Asked,
  instance: Instance,
): Promise<{ text: string; canTell: boolean }> {
  const { place } = instance;
  const minder = hosts.minderOf(place);
  const where = place.way === "ssh" ? place.ssh.host : "this host";
  const seen = isRust(instance)
    ? (await lookAtFormer({ hosts }, [instance])).get(instanceName(instance))
    : (await minder.look([place.directory]))[0];
  if (seen?.process === "alive" || seen?.minder === "alive") {
    return { text: `${where} was searched: some are alive, and will be stopped first`, canTell: true };
  }
  if (seen?.process === "dead" && seen.state !== "cannot tell") {
    return { text: `${where} was searched: none are left`, canTell: true };
  }
  const reason = seen?.reason ?? "no reason is known";
  const isReachable = place.way !== "ssh" || (await minder.locks()).ok;
  const text = `${where}${isReachable ? ": cannot tell" : " is not reachable"}: ${reason}`;
  return { text, canTell: false };
}

async function describeWorker(
  { api }: Asked,
  { worker }: Instance,
): Promise<{ text: string; isHeld: boolean }> {
  const free = (text: string): { text: string; isHeld: boolean } => ({ text, isHeld: false });
  if (worker === null) return free("none on record");
  const read = await api.worker(worker);
  if (!read.ok && read.refusal === "forbidden") {
    return free(`${worker} belongs to another factory account, and will be left alone`);
  }
  if (!read.ok) return free(`${worker}: the server does not say: ${read.message}`);
  if (read.value === null) return free(`${worker} is no longer on the server`);
  const { hold, recycle, online } = read.value;
  if (hold) return { text: `${worker} is held on the server`, isHeld: true };
  if (recycle) return free(`${worker} is on the server, which wants it deleted`);
  return free(`${worker} is on the server; its agent ${online ? "has been" : "was never"} online`);
}
