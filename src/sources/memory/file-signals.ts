// Tells when files change, all by one descriptor: the counters of cgroup v2.

import { createInotify, INOTIFY, type Inotify } from "../../kernel/inotify.ts";
import { parseInotify } from "../../kernel/structs/inotify-event.ts";
import { EPOLL, type Watch, type Watcher } from "../../kernel/watcher.ts";
import { watchOrClose } from "./watch-or-close.ts";

export interface FileSignals {
  /** `name` is what `onChange` is told. Throws `SystemCallError`. */
  add(path: string, name: string): number;
  remove(id: number): void;
  stop(): void;
}

/** The descriptor is made when it is first needed. */
export function createFileSignals(watcher: Watcher, onChange: (name: string) => void): FileSignals {
  let inotify: Inotify | null = null;
  let watch: Watch | null = null;
  const names = new Map<number, string>();

  const open = (): Inotify => {
    const made = createInotify();
    watch = watchOrClose(watcher, made.fd, {
      events: EPOLL.IN,
      drain: true,
      onWake({ chunks }) {
        // Several changes of one file are one reason to read it.
        const changed = new Set<string>();
        for (const { wd, mask } of chunks.flatMap(parseInotify)) {
          if ((mask & INOTIFY.Q_OVERFLOW) !== 0) for (const all of names.values()) changed.add(all);
          const name = names.get(wd);
          if (name !== undefined) changed.add(name);
        }
        for (const name of changed) onChange(name);
      },
    });
    return made;
  };

  return {
    add(path, name) {
      inotify ??= open();
      const id = inotify.add(path, INOTIFY.MODIFY);
      names.set(id, name);
      return id;
    },
    remove(id) {
      names.delete(id);
      inotify?.remove(id);
    },
    stop() {
      watch?.cancel();
    },
  };
}
