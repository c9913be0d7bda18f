// Takes paths away and puts symlinks to elsewhere in their place, as fast as it can, for ever: swapper.ts TOP OUTSIDE NAME...

import { mkdirSync, renameSync, symlinkSync, unlinkSync } from "node:fs";

const [top = "", outside = "", ...names] = process.argv.slice(2);
/** What was there waits here; on the same file system, and no part of the tree. */
const aside = `${top}-aside`;
mkdirSync(aside, { recursive: true });

function quietly(act: () => void): void {
  try {
    act();
  } catch {
    // The restore was faster.
  }
}

for (let turn = 0; ; turn += 1) {
  const name = names[turn % names.length] ?? "";
  const kept = `${aside}/${turn}`;
  quietly(() => renameSync(`${top}/${name}`, kept));
  quietly(() => symlinkSync(`${outside}/${name}`, `${top}/${name}`));
  // How long it stays so differs, so that every step of a restore is met.
  for (let wait = 0; wait < (turn % 7) * 20_000; wait += 1);
  quietly(() => unlinkSync(`${top}/${name}`));
  quietly(() => renameSync(kept, `${top}/${name}`));
}
