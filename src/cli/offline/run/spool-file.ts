// Keeps a run's events in the data directory when no daemon takes them; the next daemon does.

import { closeSync, constants, fsyncSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { SPOOL_DIRECTORY } from "../../../sources/spool.ts";

export interface SpoolFile {
  path: string;
  /** Adds the events and syncs them to the disk. Throws what the file system says. */
  add(events: readonly Record<string, unknown>[]): void;
  /** A daemon has them: they need not be kept. */
  remove(): void;
}

/** Nothing is made before the first event. */
export function createSpoolFile(dataDir: string, runId: string): SpoolFile {
  const directory = join(dataDir, SPOOL_DIRECTORY);
  const path = join(directory, `run-${runId}.ndjson`);
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW } = constants;
  return {
    path,
    add(events) {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      const fd = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
      try {
        writeSync(fd, events.map((event) => `${JSON.stringify(event)}\n`).join(""));
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
    },
    remove: () => rmSync(path, { force: true }),
  };
}
