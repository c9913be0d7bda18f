// How long memory lasts: head-room divided by the rate at which it fills. Pure.

/** Growth within this time makes the rate; what is older says little of what comes next. */
const WINDOW_MS = 1_000;
/** Two looks that are closer say more of the timer than of the process. */
const SPAN_MIN_MS = 4;
/** Smaller growth is a burst that ends by itself: a build that starts, a file that is read. Share of the limit. */
const GROWTH_MIN_SHARE = 0.02;
/** Steady growth, also a slow one, is seen after this time. */
const STEADY_MS = 2_000;
/** At the shortest pause between two looks, one window. */
const LOOKS_MAX = 128;

interface Look {
  atMs: number;
  bytes: number;
}

export interface FillRate {
  /** `bytes` in use at `atMs` of a clock that never goes back. */
  add(look: Look): void;
  /** Bytes per second, the higher of the steady rate and the fastest growth of the last second; 0 when it does not grow. */
  bytesPerS(): number;
}

/** `limitBytes` tells what growth is worth a word. */
export function createFillRate(limitBytes: number): FillRate {
  let looks: Look[] = [];
  let growths: { atMs: number; rate: number }[] = [];
  let steady = 0;
  return {
    add(look) {
      const last = looks.at(-1);
      if (last && look.atMs <= last.atMs) return;
      if (last) {
        const weight = 1 - Math.exp((last.atMs - look.atMs) / STEADY_MS);
        steady += weight * (rateBetween(last, look) - steady);
      }
      const worth = looks.filter(
        (from) =>
          look.atMs - from.atMs >= SPAN_MIN_MS &&
          look.bytes - from.bytes >= GROWTH_MIN_SHARE * limitBytes,
      );
      const rate = Math.max(0, ...worth.map((from) => rateBetween(from, look)));
      const sinceMs = look.atMs - WINDOW_MS;
      looks = [...looks, look].filter(({ atMs }) => atMs >= sinceMs).slice(-LOOKS_MAX);
      growths = [...growths, { atMs: look.atMs, rate }].filter(({ atMs }) => atMs >= sinceMs);
    },
    bytesPerS: () => Math.max(0, steady, ...growths.map(({ rate }) => rate)),
  };
}

function rateBetween(from: Look, to: Look): number {
  return ((to.bytes - from.bytes) / (to.atMs - from.atMs)) * 1_000;
}

/** Milliseconds until nothing is left at this rate; null when it does not fill. */
export function timeToLimitMs(headroomBytes: number, bytesPerS: number): number | null {
  if (bytesPerS <= 0) return null;
  return (Math.max(0, headroomBytes) / bytesPerS) * 1_000;
}
