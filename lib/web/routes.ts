/** What is shown on the web port, by path. All of it is a view of the snapshot, the journal and the tally. */
import type { WebReply, WebRequest } from "../doors/web-listener.ts";
import { metricsText } from "../status/metrics.ts";
import type { Snapshot } from "../status/snapshot.ts";
import type { Tally } from "../status/tally.ts";
import { version } from "../words/version.ts";
import type { Pages } from "./page/pages.ts";
import dashboard from "./grafana-dashboard.json" with { type: "json" };
import alerts from "./prometheus-alerts.yml" with { type: "text" };

export interface Shown {
  snapshot(): Snapshot;
  tally: Tally;
  /** Whether the daemon's loop turned a moment ago. */
  isTurning(): boolean;
  pages: Pages;
}

type Route = (shown: Shown, request: WebRequest) => WebReply | Promise<WebReply>;

const routes: Record<string, Route> = {
  "/metrics": ({ snapshot, tally }) => ({
    status: 200,
    type: "text/plain; version=0.0.4; charset=utf-8",
    body: metricsText(snapshot(), tally, version),
  }),
  "/status.json": ({ snapshot }) => json(200, snapshot()),
  "/prometheus-alerts.yml": () => ({ status: 200, type: "text/yaml; charset=utf-8", body: String(alerts) }),
  "/grafana-dashboard.json": () => json(200, dashboard),
  "/healthz": (shown) => health(shown.snapshot(), shown.isTurning()),
};

export async function answerWeb(shown: Shown, request: WebRequest): Promise<WebReply> {
  const { pathname } = request.url;
  const route = Object.hasOwn(routes, pathname) ? routes[pathname] : undefined;
  const reply = route === undefined ? await shown.pages(request) : await route(shown, request);
  return reply ?? { status: 404, type: "text/plain", body: "there is no such page\n" };
}

/** 200 only if the loop turns and the server is reached. */
function health({ server, factory }: Snapshot, isTurning: boolean): WebReply {
  const isGood = isTurning && server.is === "answers";
  return json(isGood ? 200 : 503, {
    loop: isTurning ? "turns" : "stands still",
    server: server.is,
    server_since_ms: server.sinceMs,
    mode: factory.mode,
  });
}

function json(status: number, value: unknown): WebReply {
  return { status, type: "application/json", body: `${JSON.stringify(value)}\n` };
}
