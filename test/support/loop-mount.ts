// A real file system in a file, mounted for the time of a test file.

import { chmodSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { QUICK_PLACE } from "./temp-directory.ts";

const MIB = 1024 * 1024;
/** `mkfs` of each, with the smallest size that makes it as it is on a real disk, in bytes. */
const KINDS = {
  // Below it, data and metadata are mixed.
  btrfs: { command: ["mkfs.btrfs", "-q"], bytes: 256 * MIB },
  xfs: { command: ["mkfs.xfs", "-q"], bytes: 320 * MIB },
  ext4: { command: ["mkfs.ext4", "-q", "-F"], bytes: 64 * MIB },
} as const;
export type FileSystemKind = keyof typeof KINDS;

export interface LoopMount {
  path: string;
  /** Mounts it again with these options, e.g. `ro`. */
  remount(options: string): void;
  unmount(): void;
}

/** Undefined, with the reason printed, where this machine cannot do it. `bytes`: another size than the usual one. */
export function mountLoop(kind: FileSystemKind, bytes?: number): LoopMount | undefined {
  const { command, bytes: usual } = KINDS[kind];
  if (process.geteuid?.() !== 0 || !Bun.which(command[0])) {
    console.log(`skipped: tests on ${kind} need root and ${command[0]}`);
    return undefined;
  }
  const root = mkdtempSync(join(QUICK_PLACE, `observer-${kind}-`));
  // Other users' programs work in it too.
  chmodSync(root, 0o755);
  const image = join(root, "image");
  const path = join(root, "mount");
  mkdirSync(path);
  writeFileSync(image, "");
  truncateSync(image, bytes ?? usual);
  const made = Bun.spawnSync([...command, image]);
  const mounted = Bun.spawnSync(["mount", "-o", "loop", image, path]);
  if (!made.success || !mounted.success) {
    const why = `${made.stderr.toString()} ${mounted.stderr.toString()}`.trim();
    console.log(`skipped: ${kind} cannot be mounted here: ${why}`);
    rmSync(root, { recursive: true });
    return undefined;
  }
  return {
    path,
    remount(options) {
      const done = Bun.spawnSync(["mount", "-o", `remount,${options}`, path]);
      if (!done.success) throw new Error(done.stderr.toString());
    },
    unmount() {
      const done = Bun.spawnSync(["umount", path]);
      if (!done.success) Bun.spawnSync(["umount", "-l", path]);
      rmSync(root, { recursive: true, force: true });
    },
  };
}
