/** What bmat's commands have in common. */
import type { Clock } from "../../doors/clock.ts";
import type { Flags, Options } from "./options.ts";
import type { ControlClient } from "./control-client.ts";
import type { ControlReply, ControlRequest } from "./messages.ts";

export interface Bmat {
  client: ControlClient;
  clock: Clock;
  /** bmat's own. */
  env: Record<string, string | undefined>;
}

export interface BmatCommand {
  /** What follows its name; null if it is not shown. */
  usage: string | null;
  alias?: string;
  flags: Flags;
  /** The least and most arguments, and what is said of any other number. */
  takes: [least: number, most: number, complaint: string];
  run(options: Options, bmat: Bmat): Promise<void>;
}

export const noArguments: BmatCommand["takes"] = [0, 0, "unexpected arguments"];

/** Throws what the agent says cannot be done. */
export async function request(client: ControlClient, payload: ControlRequest): Promise<ControlReply> {
  const reply = await client.request(payload);
  if (typeof reply === "object" && "Error" in reply) throw new Error(reply.Error);
  return reply;
}

export function unexpected(reply: ControlReply): Error {
  return new Error(`unexpected response: ${JSON.stringify(reply)}`);
}
