/** A whole page: its frame, and its parts, which the script replaces one by one when they change. Pure. */
import { markup, type Markup } from "./markup.ts";

export interface PageView {
  title: string;
  /** By name, in the order of the page. Those of cards begin with `card `. */
  parts: Map<string, Markup>;
}

/** `body` has the parts in it. */
export function showDocument({ title, body }: { title: string; body: Markup }): string {
  return markup`<!doctype html>
<html lang="en"><head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/page.css">
<noscript><meta http-equiv="refresh" content="10"></noscript>
<script src="/page.js" defer></script>
</head><body>
<a class="skip" href="#main">Skip to the testbeds</a>
${body}
</body></html>
`.text;
}

export function part(view: PageView, name: string): Markup {
  return markup`<div data-part="${name}">${view.parts.get(name) ?? ""}</div>`;
}
