// The main path of the checkpoint service.

import { afterEach, expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { createKit, snapshotOf, type Kit } from "../support/checkpoint-kit.ts";

let kit: Kit;
afterEach(() => kit.remove());

test("create and restore bring a damaged workspace back exactly, and the safety checkpoint brings the damage back", async () => {
  kit = createKit();
  const at = (name: string): string => join(kit.workspace, name);
  mkdirSync(at("src/deep"), { recursive: true });
  mkdirSync(at("empty"));
  mkdirSync(at(".git"));
  writeFileSync(at(".git/HEAD"), "ref: refs/heads/main\n");
  writeFileSync(at("src/a.ts"), "one\n");
  writeFileSync(at("src/deep/b.ts"), "two\r\n");
  writeFileSync(at("run.sh"), "#!/bin/sh\n", { mode: 0o755 });
  writeFileSync(at("moved.txt"), "moves along");
  symlinkSync("src/a.ts", at("link"));
  symlinkSync("nowhere", at("dangling"));
  const before = snapshotOf(kit.workspace);
  const saved = await kit.service.create({
    workspace: kit.workspace,
    kind: "manual",
    reason: "manual",
  });
  expect(saved).toMatchObject({
    status: "ok",
    backend: "store",
    verified: true,
    files: 7,
    error: null,
    skipped: [],
  });

  writeFileSync(at("src/a.ts"), "damage");
  rmSync(at("src/deep"), { recursive: true });
  writeFileSync(at("src/deep"), "a file now");
  chmodSync(at("run.sh"), 0o600);
  rmSync(at("link"));
  symlinkSync("/etc/passwd", at("link"));
  rmSync(at(".git"), { recursive: true });
  mkdirSync(at("new/inner"), { recursive: true });
  writeFileSync(at("new/inner/c"), "new");
  renameSync(at("moved.txt"), at("renamed.txt"));
  const damaged = snapshotOf(kit.workspace);

  const changes = await kit.service.diff(saved.id);
  const summary = changes
    .map((c) => `${c.change} ${c.path}${c.from ? ` from ${c.from}` : ""}`)
    .toSorted();
  expect(summary).toContain("renamed renamed.txt from moved.txt");
  expect(summary).toContain("modified src/a.ts");
  expect(summary).toContain("deleted .git/HEAD");
  expect(summary).toContain("added new/inner/c");
  expect(changes.find((c) => c.path === "run.sh")?.what).toEqual(["mode"]);
  expect(changes.find((c) => c.path === "src/deep")?.what).toEqual(["type"]);

  const planned = await kit.service.restore({ id: saved.id, dryRun: true });
  expect(planned.status).toBe("planned");
  expect(snapshotOf(kit.workspace)).toEqual(damaged);

  const done = await kit.service.restore({ id: saved.id });
  expect(done).toMatchObject({ status: "done", warnings: [] });
  expect(snapshotOf(kit.workspace)).toEqual(before);
  expect(await kit.service.diff(saved.id)).toEqual([]);
  const safety = kit.rows.get(done.safety_id ?? "");
  expect(safety).toMatchObject({
    kind: "safety",
    reason: `before restore of ${saved.id}`,
    status: "ok",
    verified: true,
  });

  await kit.service.restore({ id: done.safety_id ?? "" });
  expect(snapshotOf(kit.workspace)).toEqual(damaged);
  expect(readFileSync(at("src/a.ts"), "utf8")).toBe("damage");
}, 30_000);

test("create keeps no secret of a label", async () => {
  kit = createKit();
  const secret = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
  const { label } = await kit.service.create({
    workspace: kit.workspace,
    kind: "manual",
    reason: "manual",
    label: `before ${secret}`,
  });
  expect(label).toMatch(/^before \[redacted:github:[0-9a-f]{4}\]$/);
});
