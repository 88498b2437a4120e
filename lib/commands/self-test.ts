/** The hidden verb `self-test`: what this executable is, once it has read the configuration and database that it is to run with. */
import { type BaseArgs, findBase, readConfigWithoutToken } from "../config/locations.ts";
import { tryReading } from "../store/file.ts";
import { selfTestAnswer } from "../update/self-test.ts";
import { lookAround, type ThisProcess } from "./this-process.ts";

export async function testItself(here: ThisProcess, args: BaseArgs): Promise<number> {
  const surroundings = await lookAround(here);
  const base = findBase(args, surroundings);
  readConfigWithoutToken(base, surroundings);
  if (here.exists(base.database)) tryReading(base.database);
  here.print(selfTestAnswer());
  return 0;
}
