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
  /** Why nothing can be promised any more, or null. */
  broken(): Error | null;
  /** Syncs what is left and closes. */
  close(): void;
}

/**
 * After a sync that failed nothing is promised any more until observer is started again: the kernel may have
 * dropped the pages that it could not write, and a later sync that succeeds would say nothing about them.
 *
 * SQLite itself runs with `synchronous = NORMAL`: a commit is written to the log, and the log is synced by
 * SQLite only before a checkpoint. Syncing the log here before anyone is answered gives the same promise as
 * `FULL`, but while one sync is under way further commits are written, and the next sync covers them all.
 */
export function createWalSync(path: string): WalSync {
  // SQLite keeps its locks on the other two files, so a second descriptor of the log takes none away.
  const descriptor = openSync(path, "r");
  let running = false;
  let dirty = false;
  let broken: Error | null = null;
  let waiting: { resolve: () => void; reject: (reason: Error) => void }[] = [];

  const start = (): void => {
    const covered = waiting;
    waiting = [];
    running = true;
    dirty = false;
    fdatasync(descriptor, (failure) => {
      running = false;
      broken ??= failure;
      for (const { resolve, reject } of covered) {
        if (broken) reject(broken);
        else resolve();
      }
      if (waiting.length > 0) start();
    });
  };

  const inPlace = (): Promise<void> | null => {
    try {
      fdatasyncSync(descriptor);
      return null;
    } catch (failure) {
      broken = failure as Error;
      return Promise.reject(broken);
    }
  };

  return {
    durable(events) {
      if (broken) return Promise.reject(broken);
      if (events > 0) dirty = true;
      if (!dirty && !running) return null;
      if (!running && events <= IN_PLACE_EVENTS) {
        dirty = false;
        return inPlace();
      }
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      waiting.push({ resolve, reject });
      if (!running) start();
      return promise;
    },
    broken: () => broken,
    close() {
      fdatasyncSync(descriptor);
      closeSync(descriptor);
    },
  };
}
