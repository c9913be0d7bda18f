// Makes commits durable without holding the event loop: the write-ahead log is synced on another thread.

import { closeSync, fdatasync, fdatasyncSync, openSync } from "node:fs";

/**
 * A commit of so few events is synced in place: nobody else waits for the loop, and handing the work to
 * another thread would cost a lone caller more than the sync itself.
 */
const IN_PLACE_EVENTS = 1;

export interface WalSync {
  /** Null when what was committed is durable already, else a promise of it. `events`: size of the last commit. */
  durable(events: number): Promise<void> | null;
  /** Syncs what is left and closes. */
  close(): void;
}

/**
 * SQLite itself runs with `synchronous = NORMAL`: a commit is written to the log, and the log is synced by
 * SQLite only before a checkpoint. Syncing the log here before anyone is answered gives the same promise as
 * `FULL`, but while one sync is under way further commits are written, and the next sync covers them all.
 */
export function createWalSync(path: string): WalSync {
  // SQLite keeps its locks on the other two files, so a second descriptor of the log takes none away.
  const descriptor = openSync(path, "r");
  let running = false;
  let dirty = false;
  let waiting: { resolve: () => void; reject: (reason: Error) => void }[] = [];

  const start = (): void => {
    const covered = waiting;
    waiting = [];
    running = true;
    dirty = false;
    fdatasync(descriptor, (failure) => {
      running = false;
      for (const { resolve, reject } of covered) {
        if (failure) reject(failure);
        else resolve();
      }
      if (waiting.length > 0) start();
    });
  };

  return {
    durable(events) {
      if (events > 0) dirty = true;
      if (!dirty && !running) return null;
      if (!running && events <= IN_PLACE_EVENTS) {
        fdatasyncSync(descriptor);
        dirty = false;
        return null;
      }
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      waiting.push({ resolve, reject });
      if (!running) start();
      return promise;
    },
    close() {
      fdatasyncSync(descriptor);
      closeSync(descriptor);
    },
  };
}
