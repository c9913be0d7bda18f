// A workspace that is lost and comes back, as the record tells it: the real service, store and pipeline.

import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createParts } from "../../src/composition/parts.ts";
import { startPipeline } from "../../src/composition/pipeline.ts";
import { startProtection } from "../../src/composition/protection.ts";
import { defaultSettings, type Settings } from "../../src/config/settings.ts";
import { systemClock } from "../../src/core/clock.ts";
import { createFakeLog } from "../support/clock.ts";

setDefaultTimeout(60_000);

/** What composition needs to run the service with the helper that tests have instead of the binary. */
const IO = {
  stderr: () => undefined,
  stderrIsTty: false,
  selfCommand: [
    process.execPath,
    Bun.fileURLToPath(import.meta.resolve("../support/checkpoint-helper.ts")),
  ],
  uid: process.geteuid?.() ?? 0,
};

function rig(root: string, workspaces: string[]) {
  const settings = Object.freeze({
    ...defaultSettings(),
    data_dir: join(root, "data"),
    host_name: "test-host",
    durability: "normal",
    workspaces,
    "alert.file": false,
    "alert.terminal": false,
  }) as Settings;
  mkdirSync(settings.data_dir, { recursive: true });
  const parts = createParts({ settings, clock: systemClock, log: createFakeLog() }, IO);
  const pipeline = startPipeline(parts, IO, () => null);
  parts.notes.connect(pipeline.offer);
  const protection = startProtection(parts, pipeline);
  return {
    parts,
    protection,
    losses: async () => {
      const filters = { type: "protection_lost" };
      return (await parts.store.interruptions.list({ limit: 100, filters })).items;
    },
    stop: async () => {
      await pipeline.stop(1_000);
      await parts.checkpoints.stop();
      parts.store.close();
    },
  };
}

test("a workspace that is lost is one interruption, which ends when it is protected again", async () => {
  const root = mkdtempSync(join(tmpdir(), "observer-record-"));
  const workspace = join(root, "workspace");
  const link = join(root, "link");
  const elsewhere = join(root, "elsewhere");
  for (const path of [workspace, elsewhere]) {
    mkdirSync(path);
    writeFileSync(join(path, "a"), path);
  }
  symlinkSync(workspace, link);
  let run = rig(root, [workspace, link]);
  try {
    await run.protection.check();
    expect(await run.losses()).toEqual([]);

    // Moved away: both names lose it, each once, also after a restart.
    renameSync(workspace, `${workspace}-moved`);
    await run.protection.check();
    await run.protection.check();
    await run.stop();
    run = rig(root, [workspace, link]);
    await run.protection.check();
    const lost = await run.losses();
    expect(
      lost
        .map((row) => [row.workspace, row.severity, row.count, row.resolvedMs].join(" "))
        .sort((a, b) => a.localeCompare(b)),
    ).toEqual([`${link} medium 1 `, `${workspace} medium 1 `]);
    expect(lost[0]?.detail["reason"]).toContain("ENOENT");

    renameSync(`${workspace}-moved`, workspace);
    await run.protection.check();
    expect((await run.losses()).every(({ resolvedMs }) => resolvedMs !== null)).toBe(true);
    const { items: notes } = await run.parts.store.events.list({
      limit: 10,
      filters: { kind: "note", source: "observer" },
    });
    expect(notes.map(({ data }) => data.note).sort((a = "", b = "") => a.localeCompare(b))).toEqual(
      ["protection_back", "protection_back", "protection_lost", "protection_lost"],
    );

    // The symlink is replaced: the directory that it leads to now is not saved, until it is.
    rmSync(link);
    symlinkSync(elsewhere, link);
    await run.protection.check();
    const [replaced] = await run.losses();
    expect(replaced).toMatchObject({ workspace: link, resolvedMs: null });
    expect(replaced?.summary).toContain("elsewhere");
    await run.parts.checkpoints.create({ workspace: link, kind: "manual", reason: "manual" });
    await run.protection.check();
    expect(await run.losses()).toHaveLength(3);
    expect((await run.losses()).every(({ resolvedMs }) => resolvedMs !== null)).toBe(true);
  } finally {
    await run.stop();
    rmSync(root, { recursive: true, force: true });
  }
});
