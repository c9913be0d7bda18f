// The valid name nearest to a mistyped one, for messages that say what was meant.

/** Longer words are not compared: nobody mistypes a name into that, and the table stays small. */
const WORD_LENGTH_MAX = 64;

/** The name with the fewest edits from `word`, or undefined when none is near (more than half would change). */
export function nearest(word: string, names: readonly string[]): string | undefined {
  if (word.length > WORD_LENGTH_MAX) return undefined;
  let best: string | undefined;
  let bestEdits = Infinity;
  for (const name of names) {
    const edits = editsBetween(word.toLowerCase(), name);
    if (edits < bestEdits) [best, bestEdits] = [name, edits];
  }
  return best !== undefined && bestEdits <= Math.max(word.length, best.length) / 2
    ? best
    : undefined;
}

function editsBetween(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= to.length; j += 1) {
      const replace = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
