// What a view says when it has nothing: what it would show, and the command that makes it so.

import { command, h } from "./dom.ts";
import type { ViewName } from "./route.ts";

interface Empty {
  title: string;
  text: string;
  commands: string[];
}

/** Address of the event endpoint as this browser reached observer. */
function eventUrl(): string {
  return new URL("event", document.baseURI).href;
}

function contents(view: ViewName): Empty {
  switch (view) {
    case "feed":
      return {
        title: "Nothing has happened yet",
        text: "Events of agents appear here as they are stored. Send one, or watch a recorded incident:",
        commands: [`curl -d '{"endpoint":"hello","success":true}' ${eventUrl()}`, "observer demo"],
      };
    case "interruptions":
      return {
        title: "No interruptions",
        text: "Loops, crashes, retry storms and overflowing contexts are listed here. To see one:",
        commands: ["observer demo"],
      };
    case "sessions":
      return {
        title: "No sessions yet",
        text: "A session is one run of one agent, known by the session id of its events. Take a recording in, or play one:",
        commands: ["observer import session.jsonl", "observer demo"],
      };
    case "checkpoints":
      return {
        title: "No checkpoints yet",
        text: "Name the directory that agents work in, and it is saved when trouble is critical; or save it now:",
        commands: [
          "observer --reactive --workspace DIR",
          "observer checkpoint create --workspace DIR",
        ],
      };
  }
}

export function emptyState(view: ViewName): HTMLElement {
  const { title, text, commands } = contents(view);
  return h(
    "div",
    { class: "empty" },
    h("h3", {}, title),
    h("p", {}, text),
    ...commands.map(command),
  );
}

/** Rows exist, but the filter hides them all. */
export function nothingMatches(clear: () => void): HTMLElement {
  const button = h(
    "button",
    { attrs: { type: "button" }, on: { click: clear } },
    "Clear the filter",
  );
  return h("div", { class: "empty" }, h("h3", {}, "Nothing matches the filter"), button);
}

/** Instead of everything, when the browser is not signed in. */
export function signedOutPage(): HTMLElement {
  return h(
    "main",
    { class: "signed-out" },
    h("h1", {}, "Not signed in"),
    h("p", {}, "This page shows what agents did on this machine, so it asks who you are. Run:"),
    command("observer open"),
    h(
      "p",
      { class: "dim" },
      "as root or as observer's own user, and open the address that it prints.",
    ),
  );
}
