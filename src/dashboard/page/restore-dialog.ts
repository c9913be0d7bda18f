// The restore: shows the plan with its workspace and its number of changes, asks, does it, tells what came of it.

import { ask, at } from "./api.ts";
import { changeList } from "./changes.ts";
import { action, code, fill, h, said, type Child } from "./dom.ts";
import { count, duration } from "./format.ts";
import { rowLink } from "./links.ts";
import type { CheckpointRow, RestoreRow } from "./shapes.ts";
import type { ViewContext } from "./view.ts";

/** Opens the dialog for one checkpoint. */
export function openRestore(checkpoint: CheckpointRow, context: ViewContext): void {
  const body = h("div", { class: "dialog-body" }, h("p", { class: "loading" }, "Planning…"));
  const dialog = h(
    "dialog",
    { attrs: { "aria-labelledby": "restore-title" } },
    h("h2", { attrs: { id: "restore-title" } }, "Restore a workspace"),
    body,
  );
  let busy = false;
  // A restore that runs cannot be taken back by closing the window.
  dialog.addEventListener("cancel", (event) => {
    if (busy) event.preventDefault();
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  const close = (): void => dialog.close();
  const failed = (thrown: unknown): void => {
    const text = thrown instanceof Error ? thrown.message : String(thrown);
    fill(
      body,
      h("p", { class: "problem" }, text),
      h("div", { class: "buttons" }, action("Close", close)),
    );
  };
  const send = (options: Record<string, unknown>): Promise<RestoreRow> =>
    ask<RestoreRow>(at("checkpoints", checkpoint.id, "/restore"), {
      method: "POST",
      body: options,
    });

  const perform = async (freeze: boolean): Promise<void> => {
    busy = true;
    fill(body, h("p", { class: "loading", attrs: { role: "status" } }, "Restoring…"));
    try {
      const result = await send(freeze ? { freeze } : {});
      fill(body, ...done(result, close));
    } catch (thrown) {
      failed(thrown);
    }
    busy = false;
    context.reload();
  };

  void send({ dry_run: true }).then(
    (plan) => fill(body, ...planned(plan, { checkpoint, close, perform })),
    failed,
  );
}

function planned(
  plan: RestoreRow,
  deps: {
    checkpoint: CheckpointRow;
    close: () => void;
    perform: (freeze: boolean) => Promise<void>;
  },
): Child[] {
  const { checkpoint, close, perform } = deps;
  const changes = plan.changes.length;
  const freeze = h("input", { attrs: { type: "checkbox" } });
  const go = action(`Restore ${count(changes, "change")}`, () => void perform(freeze.checked), {
    class: "danger",
  });
  go.disabled = changes === 0;
  return [
    h(
      "p",
      {},
      h("strong", {}, code(plan.workspace)),
      " goes back to checkpoint ",
      code(checkpoint.id),
      changes === 0
        ? ": nothing differs, so there is nothing to do."
        : `: ${count(changes, "change")}.`,
    ),
    changes > 0 && h("div", { class: "dialog-list" }, changeList(plan.changes, "")),
    plan.untouched > 0 &&
      h(
        "p",
        { class: "dim" },
        `${count(plan.untouched, "path")} that it does not cover stay as they are.`,
      ),
    ...plan.warnings.map((warning) => h("p", { class: "note" }, said(warning))),
    h("p", { class: "dim" }, "The present state is saved first, so that this can be undone."),
    h(
      "label",
      { class: "check" },
      freeze,
      "Freeze agents that work there, restore, and let them go on",
    ),
    h("div", { class: "buttons" }, action("Cancel", close), go),
  ];
}

function done(result: RestoreRow, close: () => void): Child[] {
  const undo = rowLink("checkpoints", result.safety_id, result.safety_id ?? "");
  undo?.addEventListener("click", close);
  return [
    h(
      "p",
      { class: "good", attrs: { role: "status" } },
      `✓ ${count(result.changes.length, "change")} restored in ${duration(result.duration_ms)}.`,
    ),
    undo && h("p", {}, "To undo, restore ", undo, "."),
    ...result.warnings.map((warning) => h("p", { class: "note" }, said(warning))),
    h("div", { class: "buttons" }, action("Close", close)),
  ];
}
