// Ages that stay true while the page is open.

import { h } from "./dom.ts";
import { shortAge } from "./format.ts";

/** How often ages are written anew. */
const TICK_MS = 5_000;

/** An age such as "4m", with the exact time for who asks. */
export function age(iso: string | null | undefined): HTMLElement {
  if (!iso) return h("span", {});
  const attrs = { datetime: iso, title: new Date(iso).toLocaleString(), "data-age": true };
  return h("time", { attrs }, shortAge(iso, nowMs()));
}

/** The browser's time; the page has no other clock. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

/** Keeps every age on the page true. */
export function startClock(tick: () => void): void {
  setInterval(() => {
    const now = nowMs();
    for (const element of document.querySelectorAll<HTMLTimeElement>("time[data-age]")) {
      const text = shortAge(element.dateTime, now);
      if (element.textContent !== text) element.textContent = text;
    }
    tick();
  }, TICK_MS);
}
