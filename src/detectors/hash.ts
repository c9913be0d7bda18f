// A fast, unkeyed 53-bit hash: enough to compare calls and results without keeping their text.

/**
 * Hash of a text as a safe integer (cyrb53 construction: two multiplicative 32-bit lanes, mixed at the end).
 * Not for secrets. With 53 bits, a thousand distinct texts in a lane collide by chance about once in 10^10 lanes.
 */
export function hash53(text: string): number {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let i = 0; i < text.length; i += 1) {
    const unit = text.charCodeAt(i);
    a = Math.imul(a ^ unit, 2654435761);
    b = Math.imul(b ^ unit, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return 4294967296 * (2097151 & b) + (a >>> 0);
}

/** The hash as short text, for fingerprints. */
export function hashText(text: string): string {
  return hash53(text).toString(36);
}
