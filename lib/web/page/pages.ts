/** The pages by path, and the stream by which each stays up to date. */
import type { WebReply, WebRequest } from "../../doors/web-listener.ts";
import { boardBody, boardOf } from "./board.ts";
import { addressOfTestbed } from "./card.ts";
import { type PageView, showDocument } from "./document.ts";
import { addressOf, filterOf } from "./filter.ts";
import { type Lab, type LabSources, openLab } from "./lab.ts";
import type { Markup } from "./markup.ts";
import { overviewBody, overviewOf } from "./overview.ts";
import css from "./page.css" with { type: "text" };
import script from "./page.js" with { type: "text" };
import { openWatchers } from "./watchers.ts";

/** Null: there is no such page. */
export type Pages = (request: WebRequest) => Promise<WebReply | null>;

interface Page {
  address: string;
  /** Null: there is no such testbed. */
  view: (lab: Lab) => PageView | null;
  body: (view: PageView, lab: Lab) => Markup;
  /** Whose log it shows. */
  testbed: string | null;
}

export function openPages(sources: LabSources & { onFault(error: unknown): void }): Pages {
  const { clock, onFault } = sources;
  const { look, lookAtLog } = openLab(sources);
  const watchers = openWatchers({ clock, look, onFault });

  async function show(asked: Page): Promise<WebReply | null> {
    if (asked.testbed !== null) await lookAtLog(asked.testbed);
    const lab = await look();
    const view = asked.view(lab);
    if (view === null) return null;
    const body = showDocument({ title: view.title, body: asked.body(view, lab) });
    return { status: 200, type: "text/html; charset=utf-8", body };
  }

  async function watch(asked: Page, signal: AbortSignal): Promise<WebReply | null> {
    const lab = await look();
    const { address, view } = asked;
    if (view(lab) === null) return null;
    const body = watchers.watch(address, { view, lab, signal });
    if (body === null) return { status: 503, type: "text/plain", body: "too many watch already\n" };
    return { status: 200, type: "text/event-stream", body };
  }

  return async ({ url, signal }) => {
    const { pathname } = url;
    if (pathname === "/page.css") return { status: 200, type: "text/css; charset=utf-8", body: css };
    if (pathname === "/page.js") return { status: 200, type: "text/javascript; charset=utf-8", body: script };
    const isWatched = pathname.startsWith("/events/");
    const asked = pageAt(isWatched ? pathname.slice("/events".length) : pathname, url.searchParams);
    if (asked === null) return null;
    return isWatched ? await watch(asked, signal) : await show(asked);
  };
}

function pageAt(path: string, query: URLSearchParams): Page | null {
  if (path === "/") {
    const filter = filterOf(query);
    return {
      address: addressOf(filter),
      view: (lab) => overviewOf(lab, filter),
      body: (view, lab) => overviewBody(view, lab, filter),
      testbed: null,
    };
  }
  const [, name = ""] = /^\/testbed\/([^/]+)$/.exec(path) ?? [];
  const testbed = decode(name);
  if (testbed === null) return null;
  return {
    address: addressOfTestbed(testbed),
    view: (lab) => boardOf(lab, testbed),
    body: (view) => boardBody(view, testbed),
    testbed,
  };
}

function decode(name: string): string | null {
  try {
    return name === "" ? null : decodeURIComponent(name);
  } catch {
    return null;
  }
}
