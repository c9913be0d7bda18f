// A process that takes memory at a steady rate until it has enough or is killed: hog.ts RATE_MB_PER_S TOTAL_MB.

export {};

const [rate = 0, total = 0] = process.argv.slice(2).map(Number);
const MIB = 1024 * 1024;
const STEP = 4 * MIB;

const kept: Uint8Array[] = [];
const started = performance.now();
for (let taken = STEP; taken <= total * MIB; taken += STEP) {
  // Filled, because the kernel gives pages only when they are written.
  kept.push(new Uint8Array(STEP).fill(kept.length + 1));
  const aheadMs = (taken / (rate * MIB)) * 1_000 - (performance.now() - started);
  if (aheadMs > 1) await Bun.sleep(aheadMs);
}
// Still there when it has all it wanted: whoever started it ends it.
setInterval(() => kept.length, 1_000);
