// Opening what lies below a directory, while somebody else may move it about.

import { expect, test } from "bun:test";
import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { createBeneath, openInSteps, openTop } from "../../src/checkpoints/beneath.ts";
import { exactWalk } from "../support/exact-walk.ts";
import { createSaver } from "../support/saver.ts";
import { QUICK_PLACE, withTempDirectory } from "../support/temp-directory.ts";

test("openTop refuses a directory that a symlink on the way leads to", () =>
  withTempDirectory((directory) => {
    const workspace = join(directory, "outer", "workspace");
    mkdirSync(workspace, { recursive: true });
    closeSync(openTop(workspace));
    renameSync(join(directory, "outer"), join(directory, "elsewhere"));
    symlinkSync("elsewhere", join(directory, "outer"));
    expect(() => openTop(workspace)).toThrow(/it is .*elsewhere\/workspace now/);
    return Promise.resolve();
  }));

test("directory and openInSteps open what is below, through no symlink, and never leave the top", () =>
  withTempDirectory((directory) => {
    const top = join(directory, "top");
    const deep = "d/".repeat(30) + "x".repeat(200);
    mkdirSync(join(top, "a/b"), { recursive: true });
    mkdirSync(join(top, deep), { recursive: true });
    mkdirSync(join(directory, "outside/b"), { recursive: true });
    symlinkSync(join(directory, "outside"), join(top, "out"));
    symlinkSync("a", join(top, "in"));
    writeFileSync(join(top, "file"), "");
    const beneath = createBeneath(top);
    const fd = openSync(top, "r");
    const inSteps = (path: string): number => openInSteps(fd, path);
    for (const open of [(path: string) => beneath.directory(path), inSteps]) {
      for (const path of ["a/b", deep])
        expect(readlinkSync(`/proc/self/fd/${open(path)}`)).toBe(join(top, path));
      for (const path of ["out", "out/b", "in/b", "file", "file/b", "gone"])
        expect(() => open(path)).toThrow(/ELOOP|ENOTDIR|ENOENT/);
    }
    expect(() => beneath.directory("../outside")).toThrow(/EXDEV/);
    beneath.close();
    return Promise.resolve();
  }));

test("a path that is too long for one call is opened in steps", () =>
  withTempDirectory((directory) => {
    const part = "x".repeat(255);
    const path = Array.from({ length: 20 }, () => part).join("/");
    const beneath = createBeneath(directory);
    let at = "";
    for (const name of path.split("/")) {
      const parent = beneath.directory(at);
      mkdirSync(`/proc/self/fd/${parent}/${name}`);
      at = at === "" ? name : `${at}/${name}`;
    }
    expect(beneath.directory(path)).toBeGreaterThan(0);
    beneath.close();
    // The path is too long for rmSync of it, not for the directory that holds it.
    rmSync(join(directory, part), { recursive: true, force: true });
    return Promise.resolve();
  }));

const SWAPPER = Bun.fileURLToPath(import.meta.resolve("../support/programs/swapper.ts"));
const RACE_MS = Bun.env["OBSERVER_TEST_LONG"] === "1" ? 60_000 : 4_000;

test(
  "nothing outside changes while directories and files are swapped for symlinks during restores",
  () =>
    withTempDirectory(async (directory) => {
      const workspace = join(directory, "workspace");
      const outside = join(directory, "outside");
      const data = join(directory, "data");
      mkdirSync(data);
      // Directories most of all: what is done inside one takes the longest.
      const names: string[] = [];
      for (const inner of ["d0", "d0/e", "d1"]) {
        for (const top of [workspace, outside]) mkdirSync(join(top, inner), { recursive: true });
        for (let index = 0; index < 12; index += 1) {
          for (const name of [`f${index}`, `mode${index}`]) {
            writeFileSync(join(outside, inner, name), "victim");
            writeFileSync(join(workspace, inner, name), "one");
          }
          writeFileSync(join(workspace, inner, `only-here${index}`), "one");
        }
        names.push(inner, `${inner}/f7`, inner, `${inner}/mode7`, inner);
      }
      const saver = createSaver(workspace, data);
      const first = saver.save([]);
      for (const inner of ["d0", "d0/e", "d1"])
        for (let index = 0; index < 12; index += 1) {
          writeFileSync(join(workspace, inner, `f${index}`), "second");
          chmodSync(join(workspace, inner, `mode${index}`), 0o600);
          rmSync(join(workspace, inner, `only-here${index}`));
          symlinkSync("anywhere", join(workspace, inner, `link${index}`));
        }
      const second = saver.save([]);
      const untouched = exactWalk(outside);
      const swapper = Bun.spawn([process.execPath, SWAPPER, workspace, outside, ...names]);
      let met = 0;
      try {
        const end = performance.now() + RACE_MS;
        for (let round = 0; performance.now() < end; round += 1) {
          // Whatever becomes of the workspace meanwhile; a path that was swapped is left and told.
          met += saver.force(round % 2 === 0 ? first : second);
          expect(exactWalk(outside)).toEqual(untouched);
        }
      } finally {
        swapper.kill("SIGKILL");
        await swapper.exited;
      }
      expect(met).toBeGreaterThan(0);
      expect(saver.force(first)).toBe(0);
      expect(exactWalk(outside)).toEqual(untouched);
    }, QUICK_PLACE),
  RACE_MS + 60_000,
);
