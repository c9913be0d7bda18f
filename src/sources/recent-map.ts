// A map that remembers only its newest keys, for parsers that join lines of files of any length.

export interface RecentMap<V> {
  get(key: string): V | undefined;
  /** Makes the key the newest; returns the value that had to go for it, if any. */
  set(key: string, value: V): V | undefined;
  delete(key: string): void;
  values(): V[];
}

/** @param keysMax how many keys are kept; the oldest goes first. */
export function createRecentMap<V>(keysMax: number): RecentMap<V> {
  const map = new Map<string, V>();
  return {
    get: (key) => map.get(key),
    set: (key, value) => {
      map.delete(key);
      map.set(key, value);
      if (map.size <= keysMax) return undefined;
      const [oldest] = map;
      if (!oldest) return undefined;
      map.delete(oldest[0]);
      return oldest[1];
    },
    delete: (key) => void map.delete(key),
    values: () => [...map.values()],
  };
}
