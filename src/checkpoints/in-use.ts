// Which checkpoints are worked on: counted, because a comparison and a restore may read the same one.

export interface InUse {
  has(id: string): boolean;
  add(id: string): void;
  delete(id: string): void;
}

export function createInUse(): InUse {
  const counts = new Map<string, number>();
  return {
    has: (id) => counts.has(id),
    add: (id) => void counts.set(id, (counts.get(id) ?? 0) + 1),
    delete(id) {
      const left = (counts.get(id) ?? 0) - 1;
      if (left > 0) counts.set(id, left);
      else counts.delete(id);
    },
  };
}

/** Does `work` while none of the checkpoints may be removed. */
export async function whileInUse<T>(
  inUse: InUse,
  ids: string[],
  work: () => Promise<T>,
): Promise<T> {
  for (const id of ids) inUse.add(id);
  try {
    return await work();
  } finally {
    for (const id of ids) inUse.delete(id);
  }
}
