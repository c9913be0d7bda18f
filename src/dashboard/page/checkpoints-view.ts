// Checkpoints: saved states of workspaces, what changed since, and the way back.

import { ask, at } from "./api.ts";
import { age } from "./clock.ts";
import { changeList } from "./changes.ts";
import { action, code, fill, h, said, type Child } from "./dom.ts";
import { count, duration, size } from "./format.ts";
import { rowLink, shortId } from "./links.ts";
import { createListing } from "./listing.ts";
import { statusBadge } from "./marks.ts";
import { createPanel, panelHead, part } from "./panel.ts";
import { openRestore } from "./restore-dialog.ts";
import { routeHash } from "./route.ts";
import type { ChangeRow, CheckpointRow } from "./shapes.ts";
import { facts } from "./table.ts";
import type { View, ViewContext } from "./view.ts";

export function createCheckpointsView(context: ViewContext): View {
  const listing = createListing<CheckpointRow>(
    {
      view: "checkpoints",
      title: "Checkpoints",
      caption: "Saved states of workspaces, newest first",
      key: ({ id }) => id,
      href: ({ id }) => routeHash({ view: "checkpoints", id }),
      haystack: (row) => JSON.stringify(row),
      columns: [
        { title: "Status", cell: (row) => statusBadge(row.status) },
        {
          title: "Workspace",
          class: "wide",
          cell: (row) =>
            h(
              "span",
              { class: "two" },
              said(row.workspace, "subject mono"),
              h("span", { class: "text" }, said(row.label ?? row.reason), " · ", shortId(row.id)),
            ),
        },
        { title: "Kind", class: "opt", cell: (row) => h("span", { class: "dim" }, row.kind) },
        { title: "Files", class: "num opt", cell: (row) => row.files?.toLocaleString("en") },
        { title: "Size", class: "num opt", cell: (row) => size(row.bytes) },
        { title: "Verified", class: "opt", cell: verified },
        { title: "Kept", class: "opt", cell: (row) => (row.pinned ? "pinned" : "") },
        { title: "Taken", class: "num", cell: (row) => age(row.created_at) },
      ],
    },
    context,
  );
  const panel = createPanel("checkpoints", (id) => load(id, context), context);
  return {
    list: listing.root,
    detail: panel.root,
    draw(route) {
      listing.draw(context.store.checkpoints, route);
      const row = context.store.checkpoints.find(({ id }) => id === route.id);
      panel.show(route, row && `${row.status} ${row.pinned} ${row.verified}`);
    },
  };
}

function verified(row: CheckpointRow): Child {
  return row.verified
    ? h("span", { class: "good" }, "✓ read back")
    : h("span", { class: "dim" }, "no");
}

async function load(id: string, context: ViewContext): Promise<Child[]> {
  const row = await ask<CheckpointRow>(at("checkpoints", id));
  const usable = row.status === "ok" || row.status === "partial";
  const pin = action(row.pinned ? "Unpin" : "Pin", () => {
    const body = { pinned: !row.pinned };
    ask(at("checkpoints", row.id, "/pin"), { method: "POST", body }).then(
      context.reload,
      context.fail,
    );
  });
  const restore = action("Restore…", () => openRestore(row, context), { class: "primary" });
  return [
    panelHead(
      "checkpoints",
      [h("span", {}, "Checkpoint "), code(row.id)],
      usable ? [pin, restore] : [],
    ),
    row.error ? h("p", { class: "problem" }, said(row.error)) : null,
    facts([
      ["Status", statusBadge(row.status)],
      ["Verified", verified(row)],
      ["Taken", h("span", {}, age(row.created_at), " ago")],
      ["Took", duration(row.duration_ms)],
      ["Holds", row.files === null ? null : `${count(row.files, "file")}, ${size(row.bytes)}`],
      ["Kind", `${row.kind}, ${row.backend}`],
      ["Why", said(row.reason)],
      ["Label", row.label && said(row.label)],
      ["Trouble", rowLink("interruptions", row.interruption_id)],
      ["Session", rowLink("sessions", row.session_id)],
      ["Workspace", code(row.workspace)],
    ]),
    ...row.warnings.map((warning) => h("p", { class: "note" }, said(warning))),
    skippedPart(row),
    usable && diffPart(row),
  ];
}

function skippedPart(row: CheckpointRow): Child {
  const skipped = row.skipped.filter((path) => path.listed_only !== true);
  if (skipped.length === 0) return null;
  return part(
    `Not in it · ${skipped.length}`,
    h(
      "ul",
      { class: "plain" },
      ...skipped
        .slice(0, 50)
        .map(({ path, reason }) => h("li", { class: "line" }, code(path), said(reason, "text"))),
    ),
  );
}

/** What changed since; read on its own, because it walks the whole workspace. */
function diffPart(row: CheckpointRow): HTMLElement {
  const body = h("div", {}, h("p", { class: "dim" }, "Comparing with the workspace…"));
  ask<{ items?: ChangeRow[] }>(at("checkpoints", row.id, "/diff")).then(
    ({ items = [] }) => fill(body, changeList(items, "The workspace is exactly as it was then.")),
    (thrown: unknown) => {
      const text = thrown instanceof Error ? thrown.message : String(thrown);
      fill(body, h("p", { class: "problem" }, text));
    },
  );
  return part("Changed since", body);
}
