// A map with a limit: the entry that was not used for longest goes first, so that memory stays bounded.

export interface LruMap<K, V> {
  readonly size: number;
  /** The value, which becomes the most recently used. */
  get(key: K): V | undefined;
  set(key: K, value: V): void;
  /** The value, made and kept if it is absent. */
  ensure(key: K, make: () => V): V;
  delete(key: K): void;
}

/** A map of at most `max` entries. */
export function createLruMap<K, V>(max: number): LruMap<K, V> {
  // A Map iterates in insertion order; using an entry puts it in again at the end.
  const entries = new Map<K, V>();

  function get(key: K): V | undefined {
    const value = entries.get(key);
    if (value === undefined) return undefined;
    entries.delete(key);
    entries.set(key, value);
    return value;
  }

  function set(key: K, value: V): void {
    entries.delete(key);
    entries.set(key, value);
    if (entries.size <= max) return;
    const oldest = entries.keys().next();
    if (oldest.done !== true) entries.delete(oldest.value);
  }

  return {
    get size() {
      return entries.size;
    },
    get,
    set,
    ensure(key, make) {
      const known = get(key);
      if (known !== undefined) return known;
      const made = make();
      set(key, made);
      return made;
    },
    delete(key) {
      entries.delete(key);
    },
  };
}
