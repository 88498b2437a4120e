/** HTML as text: what is put into it is escaped, unless it is HTML already. Pure. */
import { oneLine } from "../../status/shown-words.ts";

export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export type Piece = Markup | string | number | null | readonly Piece[];

export const nothing = new Markup("");

/** In an attribute, a piece stands between double quotes. Null is nothing. */
export function markup(parts: TemplateStringsArray, ...pieces: Piece[]): Markup {
  let text = parts[0] ?? "";
  for (const [index, piece] of pieces.entries()) text += textOf(piece) + (parts[index + 1] ?? "");
  return new Markup(text);
}

/** Text of several lines, for example of a log. */
export function escapeText(text: string): Markup {
  return new Markup(escape(text));
}

function textOf(piece: Piece): string {
  if (piece === null) return "";
  if (typeof piece === "number") return String(piece);
  if (typeof piece === "string") return escape(unclean.test(piece) ? oneLine(piece) : piece);
  return piece instanceof Markup ? piece.text : piece.map(textOf).join("");
}

/** A sign of these could turn the text around it. */
const unclean = /[\p{Cc}\p{Cf}\u2028\u2029]/u;

const entities: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escape(text: string): string {
  return /[&<>"']/.test(text) ? text.replaceAll(/[&<>"']/g, (sign) => entities[sign] ?? "") : text;
}
