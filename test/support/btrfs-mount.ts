// A real btrfs in a file, mounted for the time of a test file.

import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Smallest size that mkfs.btrfs takes without mixing data and metadata, in bytes. */
const IMAGE_BYTES = 256 * 1024 * 1024;

export interface BtrfsMount {
  path: string;
  unmount(): void;
}

/** Undefined, with the reason printed, where this machine cannot do it. */
export function mountBtrfs(): BtrfsMount | undefined {
  if (process.geteuid?.() !== 0 || !Bun.which("mkfs.btrfs")) {
    console.log("skipped: btrfs tests need root and mkfs.btrfs");
    return undefined;
  }
  const root = mkdtempSync(join(tmpdir(), "observer-btrfs-"));
  const image = join(root, "image");
  const path = join(root, "mount");
  mkdirSync(path);
  writeFileSync(image, "");
  truncateSync(image, IMAGE_BYTES);
  const made = Bun.spawnSync(["mkfs.btrfs", "-q", image]);
  const mounted = Bun.spawnSync(["mount", "-o", "loop", image, path]);
  if (!made.success || !mounted.success) {
    console.log(`skipped: btrfs cannot be mounted here: ${mounted.stderr.toString().trim()}`);
    rmSync(root, { recursive: true });
    return undefined;
  }
  return {
    path,
    unmount() {
      const done = Bun.spawnSync(["umount", path]);
      if (!done.success) Bun.spawnSync(["umount", "-l", path]);
      rmSync(root, { recursive: true, force: true });
    },
  };
}
