// Mount points below a directory, from the kernel's own list: a bind mount of the same device is found too.

import { readFileSync } from "node:fs";
import { toBytes, type BytePath } from "./byte-path.ts";

// Fifth field of /proc/self/mountinfo, see proc_pid_mountinfo(5).
const MOUNT_POINT_FIELD = 4;

function mountPoints(): BytePath[] {
  return readFileSync("/proc/self/mountinfo", "latin1")
    .split("\n")
    .map((line) => line.split(" ")[MOUNT_POINT_FIELD] ?? "")
    .map((field) =>
      field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      ),
    );
}

/** Mount points below `path`, relative to it. */
export function mountsBelow(path: string): Set<BytePath> {
  const prefix = `${Buffer.from(path, "utf8").toString("latin1").replace(/\/$/, "")}/`;
  return new Set(
    mountPoints()
      .filter((point) => point.startsWith(prefix))
      .map((point) => point.slice(prefix.length)),
  );
}

/** Whether something is mounted exactly at `path`. */
export function isMountPoint(path: string): boolean {
  return mountPoints().some((point) => toBytes(point).toString("utf8") === path);
}
