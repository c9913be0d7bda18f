// Which events carry a term (a session, a kind, a source): lists of positions, filled in bulk.

import type { Database } from "bun:sqlite";

/** Positions in one block: small enough to rewrite a half-full one each second, large enough to be few. */
const BLOCK_POSITIONS = 512;

/** Terms are prefixed by what they are, so that a session named like a kind is not that kind. */
export const termOf = {
  session: (id: string) => `s:${id}`,
  kind: (kind: string) => `k:${kind}`,
  source: (source: string) => `f:${source}`,
};

export function createPostings(database: Database) {
  const lastBlock = database.prepare<{ first_seq: number; seqs: Uint8Array }, [string]>(
    "SELECT first_seq, seqs FROM postings WHERE term = ? ORDER BY first_seq DESC LIMIT 1",
  );
  const blocksBefore = database.prepare<{ first_seq: number; seqs: Uint8Array }, [string, number]>(
    "SELECT first_seq, seqs FROM postings WHERE term = ? AND first_seq < ? ORDER BY first_seq DESC LIMIT 1",
  );
  const put = database.prepare(
    "INSERT INTO postings (term, first_seq, seqs) VALUES (?,?,?) ON CONFLICT (term, first_seq) DO UPDATE SET seqs = excluded.seqs",
  );
  const pending = new Map<string, number[]>();

  return {
    /** Remembers that event `seq` carries `term`; kept in memory until `flush`. */
    add(term: string, seq: number): void {
      const list = pending.get(term);
      if (list) list.push(seq);
      else pending.set(term, [seq]);
    },
    /** Writes what is pending; call inside the transaction that moves the watermark. */
    flush(): void {
      for (const [term, added] of pending) {
        const block = lastBlock.get(term);
        const open = block ? decode(block.seqs) : [];
        const all = open.length + added.length <= BLOCK_POSITIONS ? [...open, ...added] : added;
        for (let from = 0; from < all.length; from += BLOCK_POSITIONS) {
          const part = all.slice(from, from + BLOCK_POSITIONS);
          put.run(term, part[0] ?? 0, encode(part));
        }
      }
    },
    /** Forgets what is pending, after the transaction has committed. */
    clear: (): void => pending.clear(),
    /** Positions below `before` that carry `term`, newest first. Pending ones must have been flushed. */
    *descending(term: string, before: number): Generator<number> {
      let bound = before;
      for (;;) {
        const block = blocksBefore.get(term, bound);
        if (!block) return;
        const seqs = decode(block.seqs);
        for (let index = seqs.length - 1; index >= 0; index -= 1) {
          const seq = seqs[index] ?? 0;
          if (seq < before) yield seq;
        }
        bound = block.first_seq;
      }
    },
  };
}

// Eight bytes a position: exact up to 2^53, and read back without a parser.
function encode(seqs: number[]): Uint8Array {
  return new Uint8Array(new Float64Array(seqs).buffer);
}

function decode(bytes: Uint8Array): number[] {
  return Array.from(new Float64Array(bytes.slice().buffer));
}

export type Postings = ReturnType<typeof createPostings>;
