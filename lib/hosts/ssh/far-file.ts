/** Reads a part of a file on a host behind ssh, as hex, because the login may print text around it. */
import type { Files } from "../../doors/files.ts";
import type { Random } from "../../doors/random.ts";
import { FactoryError } from "../../words/failure.ts";
import { ask } from "./ask.ts";
import type { Connection } from "./connection.ts";

interface Piece {
  path: string;
  offset: number;
  maxBytes: number;
  random: Random;
}

/** Words: path, offset, the largest number of bytes. */
const script = `
if [ -f "$1" ]; then
  wc -c <"$1"
  tail -c "+$(($2 + 1))" "$1" | head -c "$3" | od -An -v -tx1
else
  echo missing
fi`;

export async function readFarPiece(
  connection: Connection,
  { path, offset, maxBytes, random }: Piece,
): ReturnType<Files["readPiece"]> {
  const words = [path, String(offset), String(maxBytes)];
  const reply = await ask(connection, random, { script, words });
  if (!reply.ok) throw new FactoryError(`Cannot read ${path}: ${reply.reason}`);
  const [size = "", ...lines] = reply.lines;
  if (size === "missing") return null;
  return { size: Number(size), bytes: Buffer.from(lines.join("").replaceAll(/\s/g, ""), "hex") };
}
