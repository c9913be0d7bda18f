// The top of the page: where one is, and the health strip.

import { SEVERITIES } from "../../core/interruption.ts";
import { age } from "./clock.ts";
import { action, fill, h, said, svg, type Child } from "./dom.ts";
import { count } from "./format.ts";
import { showHelp } from "./keys.ts";
import type { LiveState } from "./live.ts";
import { icon, severityMark, tone } from "./marks.ts";
import { routeHash, VIEWS, type Route, type ViewName } from "./route.ts";
import { sessionState } from "./sessions-view.ts";
import { RATE_MINUTES, type Store } from "./store.ts";

const TITLES: Record<ViewName, string> = {
  feed: "Feed",
  interruptions: "Interruptions",
  sessions: "Sessions",
  checkpoints: "Checkpoints",
};
const LIVE_TEXT: Record<LiveState, string> = {
  connecting: "connecting…",
  live: "live",
  reconnecting: "reconnecting…",
  paused: "paused",
};

export interface Header {
  root: HTMLElement;
  draw(store: Store, route: Route): void;
  live: (state: LiveState) => void;
  nextTheme: () => void;
}

export function createHeader(theme: { current(): string; next(): string }): Header {
  const host = h("span", { class: "host dim" });
  const state = h("span", {
    class: "live connecting",
    attrs: { role: "status", "aria-live": "polite" },
  });
  const tabs = VIEWS.map((view) => ({
    view,
    link: h("a", { attrs: { href: routeHash({ view }) } }, icon(view), h("span", {}, TITLES[view])),
  }));
  const themeButton = action(themeText(theme.current()), () => nextTheme(), {
    class: "quiet",
    title: "Light, dark, or as the system has it (t)",
  });
  const nextTheme = (): void => {
    themeButton.textContent = themeText(theme.next());
  };
  const strip = h("section", { class: "strip", attrs: { "aria-label": "Health" } });
  const root = h(
    "header",
    { class: "top" },
    h(
      "div",
      { class: "bar" },
      h("h1", {}, logo(), "observer"),
      host,
      h("nav", { attrs: { "aria-label": "Views" } }, ...tabs.map(({ link }) => link)),
      h("span", { class: "gap" }),
      state,
      themeButton,
      action("?", showHelp, { class: "quiet", title: "Keyboard (?)" }),
    ),
    strip,
  );
  return {
    root,
    draw(store, route) {
      host.textContent = store.version?.host ?? "";
      for (const { view, link } of tabs) {
        if (view === route.view) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      }
      fill(strip, ...cells(store));
    },
    nextTheme,
    live(next) {
      state.className = `live ${next}`;
      if (state.textContent !== LIVE_TEXT[next]) state.textContent = LIVE_TEXT[next];
    },
  };
}

function themeText(theme: string): string {
  return theme === "system" ? "Auto" : theme === "light" ? "Light" : "Dark";
}

function logo(): SVGElement {
  return svg(
    "svg",
    { class: "logo", viewBox: "0 0 32 32", "aria-hidden": "true" },
    svg("path", {
      d: "M3 16c3.5-6 8-9 13-9s9.5 3 13 9c-3.5 6-8 9-13 9S6.5 22 3 16z",
      class: "lid",
    }),
    svg("circle", { cx: 16, cy: 16, r: 4.5, fill: "currentColor" }),
  );
}

function cell(title: string, ...children: Child[]): HTMLElement {
  return h("div", { class: "cell" }, h("h2", {}, title), h("div", { class: "value" }, ...children));
}

function cells(store: Store): Child[] {
  return [
    observerCell(store),
    rateCell(store),
    sessionsCell(store),
    troubleCell(store),
    savedCell(store),
  ];
}

function observerCell({ ready, version }: Store): HTMLElement {
  const sub = h("span", { class: "sub" }, version ? `version ${version.version}` : "");
  if (!ready) return cell("Observer", h("span", { class: "dim" }, "…"));
  return ready.ready
    ? cell("Observer", h("span", { class: "good" }, "● Ready"), sub)
    : cell("Observer", h("span", { class: "bad" }, "▲ Not ready"), said(ready.reason, "sub"));
}

function rateCell(store: Store): HTMLElement {
  const minutes = store.rate();
  // The running minute is not over; the last full one is the rate.
  const rate = Math.max(minutes.at(-2) ?? 0, minutes.at(-1) ?? 0);
  return cell(
    "Events / min",
    h("span", { class: "big" }, rate.toLocaleString("en")),
    sparkline(minutes),
  );
}

function sparkline(values: number[]): SVGElement {
  const tallest = Math.max(1, ...values);
  const bars = values.map((value, index) => {
    const tall = value === 0 ? 1 : Math.max(2, (value / tallest) * 22);
    return svg("rect", { x: index * 5, y: 24 - tall, width: 3.5, height: tall, rx: 1 });
  });
  const label = `Events of the last ${RATE_MINUTES} minutes, at most ${tallest} in one`;
  return svg(
    "svg",
    { class: "spark", viewBox: `0 0 ${values.length * 5} 24`, role: "img", "aria-label": label },
    ...bars,
  );
}

function sessionsCell({ sessions }: Store): HTMLElement {
  const active = sessions.filter((session) => sessionState(session) === "active");
  const agents = [...new Set(active.map(({ agent }) => agent ?? "unknown"))].join(", ");
  return cell(
    "Active sessions",
    h("span", { class: "big" }, String(active.length)),
    said(agents || `${count(sessions.length, "session")} known`, "sub"),
  );
}

function troubleCell({ interruptions }: Store): HTMLElement {
  const open = interruptions.filter(({ resolved_at }) => resolved_at === null);
  const counts = [...SEVERITIES]
    .reverse()
    .map((severity) => ({ severity, many: open.filter((row) => row.severity === severity).length }))
    .filter(({ many }) => many > 0);
  if (counts.length === 0) return cell("Open trouble", h("span", { class: "good" }, "✓ None"));
  return cell(
    "Open trouble",
    ...counts.map(({ severity, many }) =>
      h(
        "a",
        {
          class: `tally sev-${severity}`,
          attrs: {
            href: routeHash({ view: "interruptions", params: { severity, state: "open" } }),
            title: severity,
          },
        },
        severityMark(severity),
        String(many),
      ),
    ),
  );
}

/** Which workspaces are protected: as observer says, else as the newest checkpoint of each shows. */
function savedCell({ checkpoints, version }: Store): HTMLElement {
  const usable = checkpoints.filter(
    ({ status }) => tone(status) === "good" || status === "partial",
  );
  const newest = usable[0];
  const named = version?.protection?.workspaces;
  const lost = named?.filter(({ backend }) => backend === null) ?? [];
  const paths = named?.map(({ path }) => path) ?? [
    ...new Set(usable.map(({ workspace }) => workspace)),
  ];
  if (lost.length > 0) {
    const what = `▲ ${count(lost.length, "workspace")} unprotected`;
    return cell(
      "Protection",
      h("span", { class: "bad" }, what),
      said(lost[0]?.path ?? "", "sub mono"),
    );
  }
  const where = paths.length === 1 ? (paths[0] ?? "") : count(paths.length, "workspace");
  if (!newest) {
    const link = h(
      "a",
      { class: "sub", attrs: { href: routeHash({ view: "checkpoints" }) } },
      "take one",
    );
    return cell("Protection", h("span", { class: "warn" }, "◆ No checkpoint"), link);
  }
  return cell(
    "Protection",
    h("span", { class: "good" }, "✓ Saved ", age(newest.created_at), " ago"),
    said(where, "sub mono"),
  );
}
