/** A piece of a file on a host behind ssh: as hex, because what a login prints around it is text. */
import type { Files } from "../doors/files.ts";
import type { Random } from "../doors/random.ts";
import { FactoryError } from "../failure.ts";
import type { Connection } from "./connection.ts";

interface Piece {
  path: string;
  offset: number;
  maxBytes: number;
  random: Random;
}

/** Words: mark, path, offset, most bytes. */
const pieceScript = `
if [ -f "$2" ]; then
  printf '%s\\n' "$1 begin" "$(wc -c <"$2")"
  tail -c "+$(($3 + 1))" "$2" | head -c "$4" | od -An -v -tx1
else
  printf '%s\\n' "$1 begin" missing
fi
printf '%s\\n' "$1 end"`;

export async function readFarPiece(
  { run }: Connection,
  { path, offset, maxBytes, random }: Piece,
): ReturnType<Files["readPiece"]> {
  const mark = Buffer.from(random.bytes(12)).toString("hex");
  const words = [mark, path, String(offset), String(maxBytes)];
  const result = await run(["sh", "-c", pieceScript, "sh", ...words], "", 30_000);
  const [, said] = result.ok ? result.stdout.split(`${mark} begin\n`) : [];
  const isWhole = said?.includes(`${mark} end`) === true;
  if (!isWhole || said === undefined) {
    throw new FactoryError(`Cannot read ${path}: ${result.ok ? "no answer" : result.reason}`);
  }
  const [size = "", ...lines] = said.slice(0, said.lastIndexOf(`${mark} end`)).split("\n");
  if (size === "missing") return null;
  return { size: Number(size), bytes: Buffer.from(lines.join("").replaceAll(/\s/g, ""), "hex") };
}
