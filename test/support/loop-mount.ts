// A real file system in a file, mounted for the time of a test.

import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface LoopMount {
  path: string;
  /** Mounts it anew, e.g. `ro`. */
  remount(options: string): void;
  unmount(): void;
}

/** Undefined, with the reason printed, where this machine cannot do it. */
export function mountLoop(kind: "ext4" | "xfs", bytes: number): LoopMount | undefined {
  if (process.geteuid?.() !== 0 || !Bun.which(`mkfs.${kind}`)) {
    console.log(`skipped: tests on a small disk need root and mkfs.${kind}`);
    return undefined;
  }
  const root = mkdtempSync(join(tmpdir(), "observer-loop-"));
  const image = join(root, "image");
  const path = join(root, "mount");
  mkdirSync(path);
  writeFileSync(image, "");
  truncateSync(image, bytes);
  const made = Bun.spawnSync([`mkfs.${kind}`, "-q", image]);
  const mounted = Bun.spawnSync(["mount", "-o", "loop", image, path]);
  if (!made.success || !mounted.success) {
    const why = `${made.stderr.toString()} ${mounted.stderr.toString()}`.trim();
    console.log(`skipped: ${kind} cannot be mounted here: ${why}`);
    rmSync(root, { recursive: true });
    return undefined;
  }
  return {
    path,
    remount: (options) => void Bun.spawnSync(["mount", "-o", `remount,${options}`, path]),
    unmount() {
      const done = Bun.spawnSync(["umount", path]);
      if (!done.success) Bun.spawnSync(["umount", "-l", path]);
      rmSync(root, { recursive: true, force: true });
    },
  };
}
