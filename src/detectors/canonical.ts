// One text for one JSON value, whatever the order of its keys.

// Deeper nesting is cut: no tool's arguments go there, and a hostile body must not exhaust the stack.
const DEPTH_MAX = 64;

/** `exact` quotes strings as JSON does; `readable` keeps them raw, so that text patterns match inside them. */
export type StringStyle = "exact" | "readable";

/** The value as text with sorted keys; equal values give equal texts. Never throws. */
export function canonical(value: unknown, style: StringStyle): string {
  return write(value, style, 0);
}

function write(value: unknown, style: StringStyle, depth: number): string {
  if (typeof value === "string") return style === "exact" ? JSON.stringify(value) : `"${value}"`;
  if (value === null || typeof value !== "object") return String(value);
  if (depth >= DEPTH_MAX) return "…";
  if (Array.isArray(value)) {
    return `[${value.map((item: unknown) => write(item, style, depth + 1)).join(",")}]`;
  }
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, field]) => `${JSON.stringify(key)}:${write(field, style, depth + 1)}`);
  return `{${fields.join(",")}}`;
}
