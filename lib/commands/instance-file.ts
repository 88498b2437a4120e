/** Reads files of an instance's directory, on whichever host that is. */
import type { Testbed } from "../config/config.ts";
import type { Files } from "../doors/files.ts";
import type { Random } from "../doors/random.ts";
import { readFarPiece } from "../hosts/ssh/far-file.ts";
import { withKeysOfToday } from "../hosts/ssh/far-host.ts";
import type { Connections } from "../hosts/ssh/connection-pool.ts";
import type { Instance } from "../words/domain.ts";

interface Reach {
  files: Pick<Files, "readPiece">;
  random: Random;
  connections: Pick<Connections, "to">;
  testbeds: Testbed[];
}

/** How much is read at once. */
const pieceBytes = 64 * 1024;

/** Null: the file does not exist. Throws a FactoryError if its host does not answer. */
export async function readInstanceFile(
  { files, random, connections, testbeds }: Reach,
  { testbed, place }: Instance,
  file: string,
  offset: number,
): ReturnType<Files["readPiece"]> {
  const path = `${place.directory}/${file}`;
  if (place.way !== "ssh") return await files.readPiece(path, offset, pieceBytes);
  const connection = connections.to(withKeysOfToday(testbeds, testbed, place.ssh));
  return await readFarPiece(connection, { path, offset, maxBytes: pieceBytes, random });
}
