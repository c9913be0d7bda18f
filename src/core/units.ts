// Durations and sizes as people write them: "30s", "512MiB".

const DURATION_MS: Record<string, number> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const SIZE_BYTES: Record<string, number> = {
  "": 1,
  b: 1,
  k: 1024,
  kb: 1000,
  kib: 1024,
  m: 1024 ** 2,
  mb: 1000 ** 2,
  mib: 1024 ** 2,
  g: 1024 ** 3,
  gb: 1000 ** 3,
  gib: 1024 ** 3,
  t: 1024 ** 4,
  tb: 1000 ** 4,
  tib: 1024 ** 4,
};

function parse(text: string, units: Record<string, number>): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  const factor = match ? units[(match[2] ?? "").toLowerCase()] : undefined;
  return match && factor !== undefined ? Number(match[1]) * factor : null;
}

/** Milliseconds of "250ms", "30s", "10m", "2h", "7d"; null when it is none of these. */
export function parseDuration(text: string): number | null {
  return parse(text, DURATION_MS);
}

/** Bytes of "4096", "64k", "512MiB", "2GB"; k, m, g alone are binary; null when it is none of these. */
export function parseSize(text: string): number | null {
  return parse(text, SIZE_BYTES);
}

/** "1.4 GiB", "512 B". */
export function formatSize(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** "850 ms", "12.3 s", "4 min", "3 h 5 min". */
export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Milliseconds to the microsecond: the clock has more digits than meaning. */
export function wholeMicroseconds(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}
