// What changed inside one file.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { appendFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { applyPatch } from "diff";
import { createKit, failureOf, type Kit } from "../support/checkpoint-kit.ts";
import { createSaver } from "../support/saver.ts";

let kit: Kit;
beforeEach(() => {
  kit = createKit({ exclude: ["*.secret"] });
});
afterEach(() => kit.remove());

const at = (name: string): string => join(kit.workspace, name);
const create = async (): Promise<string> => {
  const request = { workspace: kit.workspace, kind: "manual", reason: "manual" } as const;
  return (await kit.service.create(request)).id;
};

test("diffText is a unified diff against the workspace, and between two checkpoints", async () => {
  mkdirSync(at("src"));
  writeFileSync(at("src/app.ts"), "one\ntwo\nthree\n");
  const first = await create();
  writeFileSync(at("src/app.ts"), "one\n2\nthree\nfour");
  const expected = {
    path: "src/app.ts",
    size_before: 14,
    size_after: 16,
    text: "--- a/src/app.ts\n+++ b/src/app.ts\n@@ -1,3 +1,4 @@\n one\n-two\n+2\n three\n+four\n\\ No newline at end of file\n",
  };
  expect(await kit.service.diffText(first, undefined, "src/app.ts")).toEqual(expected);
  const second = await create();
  expect(await kit.service.diffText(first, second, "src/app.ts")).toEqual(expected);
  expect((await kit.service.diffText(second, undefined, "src/app.ts")).text).toBe("");
});

test("diffText tells an added and a deleted file, and where a symlink points", async () => {
  writeFileSync(at("gone"), "a\n");
  symlinkSync("old-target", at("link"));
  const id = await create();
  rmSync(at("gone"));
  rmSync(at("link"));
  symlinkSync("new-target", at("link"));
  writeFileSync(at('come"\n'), "b\n");
  expect((await kit.service.diffText(id, undefined, "gone")).text).toBe(
    "--- a/gone\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-a\n",
  );
  expect((await kit.service.diffText(id, undefined, 'come"\n')).text).toBe(
    '--- /dev/null\n+++ "b/come\\"\\n"\n@@ -0,0 +1,1 @@\n+b\n',
  );
  expect((await kit.service.diffText(id, undefined, "link")).text).toContain(
    "-old-target\n+new-target",
  );
});

test("diffText says what cannot be shown, and why", async () => {
  writeFileSync(at("binary"), Buffer.from([1, 0, 2]));
  writeFileSync(at("latin"), Buffer.from([0x61, 0xe4, 0x0a]));
  writeFileSync(at("large"), "x\n".repeat(600_000));
  writeFileSync(at("becomes"), "file");
  writeFileSync(at("a.secret"), "s");
  const lines = (seed: number): string =>
    Array.from({ length: 60_000 }, (_, index) => `${(index * 7919 + seed) % 60_013} ${seed}`).join(
      "\n",
    );
  writeFileSync(at("other"), lines(1));
  const id = await create();
  for (const name of ["binary", "latin"]) appendFileSync(at(name), "more");
  rmSync(at("becomes"));
  mkdirSync(at("becomes"));
  writeFileSync(at("other"), lines(2));
  const reasonOf = async (name: string): Promise<unknown> => {
    const { text, reason } = await kit.service.diffText(id, undefined, name);
    return text === null ? reason : text;
  };
  expect(await reasonOf("binary")).toBe("binary");
  expect(await reasonOf("latin")).toBe("binary");
  expect(await reasonOf("large")).toBe("too_large");
  expect(await reasonOf("becomes")).toBe("not_a_file");
  expect(await reasonOf("other")).toBe("too_different");
  const codeOf = async (name: string): Promise<unknown> =>
    ((await failureOf(kit.service.diffText(id, undefined, name))) as { code: string }).code;
  expect(await codeOf("nowhere")).toBe("not_found");
  expect(await codeOf("binary/below")).toBe("not_found");
  expect(await codeOf("a.secret")).toBe("not_found");
  expect(await codeOf("../outside")).toBe("invalid");
  expect(await codeOf("")).toBe("invalid");
}, 30_000);

test("diffText applied to the old text gives the new one, whatever the two are", () => {
  mkdirSync(join(kit.root, "saver"));
  const saver = createSaver(kit.workspace, join(kit.root, "saver"));
  const text = fc
    .array(fc.constantFrom("a", "b", "", "  c", "\r", "-", "+x", "\\ No", "@@ -1 @@", "ü"))
    .chain((lines) => fc.constantFrom(lines.join("\n"), `${lines.join("\n")}\n`));
  fc.assert(
    fc.property(text, text, (old, now) => {
      writeFileSync(at("f"), old);
      const before = saver.save([]);
      writeFileSync(at("f"), now);
      const { text: patch } = saver.diffText(before, "f");
      expect(applyPatch(old, patch ?? "")).toBe(now);
    }),
    { numRuns: 40 },
  );
});
