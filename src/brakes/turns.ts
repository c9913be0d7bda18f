// One after the other for one agent; other agents do not wait.

export interface Turns {
  take<T>(agentId: string, work: () => Promise<T>): Promise<T>;
  /** Resolves when what was asked for before is done. */
  settled(): Promise<void>;
}

export function createTurns(): Turns {
  const last = new Map<string, Promise<void>>();
  return {
    async take(agentId, work) {
      const mine = (last.get(agentId) ?? Promise.resolve()).then(work);
      const settled = mine.then(
        () => undefined,
        () => undefined,
      );
      last.set(agentId, settled);
      try {
        return await mine;
      } finally {
        if (last.get(agentId) === settled) last.delete(agentId);
      }
    },
    async settled() {
      await Promise.all(last.values());
    },
  };
}
