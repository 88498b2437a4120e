/** `bmat factory`: who made this worker. */
import { errorText } from "../../words/failure.ts";
import { type BmatCommand, noArguments, request, unexpected } from "./command.ts";

export const factoryCommands: Record<string, BmatCommand> = {
  name: factoryCommand((factory) => factory.name),
  id: factoryCommand((factory) => factory.id),
  private: factoryCommand((factory) => factory.private),
};

function factoryCommand(
  pick: (factory: { id: string; name: string; private: string | null }) => string | null,
): BmatCommand {
  return {
    usage: "",
    flags: {},
    takes: noArguments,
    run: async (_, { client }) => {
      const reply = await request(client, "FactoryInfo").catch((error: unknown) => {
        throw new Error(`could not get factory info: ${errorText(error)}`);
      });
      if (typeof reply !== "object" || !("FactoryInfoResult" in reply)) throw unexpected(reply);
      const picked = pick(reply.FactoryInfoResult);
      if (picked === null) throw new Error("factory private info not available");
      await Bun.write(Bun.stdout, `${picked}\n`);
    },
  };
}
