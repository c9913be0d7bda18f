// The keyboard: every view can be used without a mouse.

import { h, action } from "./dom.ts";
import { routeHash, type ViewName } from "./route.ts";
import { moveCursor } from "./table.ts";

const GOES: Record<string, ViewName> = {
  f: "feed",
  i: "interruptions",
  s: "sessions",
  c: "checkpoints",
};
/** After `g`, the second key must come within this time. */
const SEQUENCE_MS = 1_200;

const HELP: readonly (readonly [string, string])[] = [
  ["j  k", "next, previous row"],
  ["Enter", "open the row"],
  ["Esc", "close the detail, leave the filter"],
  ["/", "filter"],
  ["g f", "feed"],
  ["g i", "interruptions"],
  ["g s", "sessions"],
  ["g c", "checkpoints"],
  ["t", "light, dark, as the system"],
  ["?", "this help"],
];

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches("input, select, textarea");
}

/** Listens to keys; `main` holds the list and the detail. */
export function startKeys(
  main: HTMLElement,
  deps: { closeDetail: () => void; nextTheme: () => void },
): void {
  let goUntil = 0;
  const search = (): HTMLInputElement | null => main.querySelector("input.search");
  const plain: Record<string, () => void> = {
    j: () => moveCursor(main, 1),
    k: () => moveCursor(main, -1),
    "/": () => search()?.focus(),
    "?": showHelp,
    t: deps.nextTheme,
    g: () => undefined,
    Escape: deps.closeDetail,
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]"))
      return;
    if (isTyping(event.target)) {
      if (event.key === "Escape" && event.target instanceof HTMLElement) event.target.blur();
      return;
    }
    const view = event.timeStamp < goUntil ? GOES[event.key] : undefined;
    goUntil = event.key === "g" ? event.timeStamp + SEQUENCE_MS : 0;
    const run = view ? () => (location.hash = routeHash({ view })) : plain[event.key];
    if (!run) return;
    event.preventDefault();
    run();
  });
}

export function showHelp(): void {
  const dialog = h(
    "dialog",
    { class: "keys", attrs: { "aria-labelledby": "keys-title" } },
    h("h2", { attrs: { id: "keys-title" } }, "Keyboard"),
    h(
      "dl",
      {},
      ...HELP.map(([keys, text]) =>
        h(
          "div",
          {},
          h("dt", {}, ...keys.split(/\s+/).map((key) => h("kbd", {}, key))),
          h("dd", {}, text),
        ),
      ),
    ),
    h(
      "div",
      { class: "buttons" },
      action("Close", () => dialog.close()),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
