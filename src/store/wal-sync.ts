// Makes commits durable without holding the event loop: the write-ahead log is synced on another thread.

import { closeSync, fdatasync, fdatasyncSync, openSync } from "node:fs";

export interface WalSync {
  /** Null when what was committed is durable already, else a promise of it. `written`: something was committed since the last call. */
  durable(written: boolean): Promise<void> | null;
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

  return {
    durable(written) {
      if (broken) return Promise.reject(broken);
      if (written) dirty = true;
      if (!dirty && !running) return null;
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
