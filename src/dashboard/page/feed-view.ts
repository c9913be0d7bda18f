// The live feed: events, interruptions, reactions and checkpoints as they happen, newest first.

import { ask, at } from "./api.ts";
import { action, h, type Child } from "./dom.ts";
import { eventDetail } from "./event-detail.ts";
import { FEED_COLUMNS, feedOf, hrefOf, rowClass, type Item } from "./feed-items.ts";
import { words } from "./format.ts";
import { createListing, type Choice } from "./listing.ts";
import { createPanel, panelHead } from "./panel.ts";
import type { EventRow } from "./shapes.ts";
import type { View, ViewContext } from "./view.ts";

/** Scrolled further than this, the reader is reading: new rows wait. */
const READING_PX = 24;

const TYPE_CHOICE: Choice = {
  param: "type",
  label: "Kind of row",
  values: [
    ["", "Everything"],
    ["event", "Events"],
    ["failed", "Failures"],
    ["interruption", "Trouble"],
    ["reaction", "Reactions"],
    ["checkpoint", "Checkpoints"],
  ],
};

export function createFeedView(context: ViewContext): View {
  const { store } = context;
  let held: Item[] | null = null;
  let manual = false;
  let redraw = (): void => undefined;
  const pause = action("Pause", () => {
    manual = !manual;
    if (!manual) resume();
    redraw();
  });
  const fresh = action("", () => resume(), { class: "fresh" });
  fresh.hidden = true;

  const listing = createListing<Item>(
    {
      view: "feed",
      title: "Feed",
      caption: "What happened, newest first",
      key: ({ type, id }) => `${type} ${id}`,
      href: hrefOf,
      rowClass,
      haystack: (item) => JSON.stringify(item.row),
      choices: [TYPE_CHOICE],
      extras: [fresh, pause],
      columns: FEED_COLUMNS,
    },
    context,
  );
  const scroll = listing.root.querySelector<HTMLElement>(".scroll");
  const resume = (): void => {
    manual = false;
    held = null;
    if (scroll) scroll.scrollTop = 0;
    window.scrollTo(0, 0);
    redraw();
  };

  // On a narrow screen the page scrolls, on others the list.
  const scrolled = (): number => (scroll?.scrollTop ?? 0) + window.scrollY;
  const backAtTop = (): void => {
    if (held && !manual && scrolled() <= READING_PX) redraw();
  };
  scroll?.addEventListener("scroll", backAtTop);
  window.addEventListener("scroll", backAtTop);

  const panel = createPanel("feed", (id) => loadEvent(id), context);
  return {
    list: listing.root,
    detail: panel.root,
    draw(route) {
      redraw = () => this.draw(route);
      const all = feedOf(store);
      const reading = manual || scrolled() > READING_PX;
      held = reading ? (held ?? all) : null;
      const waiting = held ? all.length - held.length : 0;
      fresh.hidden = waiting <= 0;
      fresh.textContent = `${waiting} new`;
      pause.textContent = manual ? "Resume" : "Pause";
      pause.setAttribute("aria-pressed", String(manual));
      const type = route.params["type"];
      const rows = (held ?? all).filter((item) =>
        type === "failed" ? rowClass(item) === "is-bad" : !type || item.type === type,
      );
      listing.draw(rows, { ...route, id: route.id && `event ${route.id}` });
      panel.show(route, null);
    },
  };
}

async function loadEvent(id: string): Promise<Child[]> {
  const event = await ask<EventRow>(at("events", id));
  return [
    panelHead("feed", [h("span", { class: "kind" }, words(event.kind))]),
    ...eventDetail(event),
  ];
}
