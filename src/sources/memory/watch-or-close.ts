// Hands a descriptor to the waiting thread, and closes it where the thread does not take it.

import { closeSync } from "node:fs";
import type { Watch, Watcher, WatchOptions } from "../../kernel/watcher.ts";

/** Throws as `Watcher.watch`; nothing stays open then. */
export function watchOrClose(watcher: Watcher, fd: number, options: WatchOptions): Watch {
  try {
    return watcher.watch(fd, options);
  } catch (thrown) {
    closeSync(fd);
    throw thrown;
  }
}
