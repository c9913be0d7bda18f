// Opening what lies below a directory, while somebody else may move it about.

import { expect, test } from "bun:test";
import { closeSync, mkdirSync, renameSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { openTop } from "../../src/checkpoints/beneath.ts";
import { withTempDirectory } from "../support/temp-directory.ts";

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
