// One text for one JSON value, whatever the order of its keys, and a number that stands for it.

/** JSON with the keys of every object sorted. The value must come from JSON and be at most `DEPTH_MAX` deep. */
export function canonicalJson(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  const fields = value as Record<string, unknown>;
  const members = Object.keys(fields)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalJson(fields[key])}`);
  return `{${members.join(",")}}`;
}

/** A hash that fits a JSON number and an SQLite integer: 53 bits of XXH64, a published and stable function. */
export function digestOf(text: string): number {
  return Number(Bun.hash.xxHash64(text) & BigInt(Number.MAX_SAFE_INTEGER));
}
