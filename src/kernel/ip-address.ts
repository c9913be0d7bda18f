// IP addresses as bytes; an IPv4 address written as IPv6 is the IPv4 address.

import { isIPv4, isIPv6 } from "node:net";

/** 4 or 16 bytes in network order; null when the text is no address. A zone (`%eth0`) is not taken. */
export function parseIpAddress(text: string): Uint8Array | null {
  if (isIPv4(text)) return Uint8Array.from(text.split("."), Number);
  if (!isIPv6(text) || text.includes("%")) return null;
  const bytes = ipv6Bytes(text);
  return isMapped(bytes) ? bytes.slice(12) : bytes;
}

function ipv6Bytes(text: string): Uint8Array {
  const tail = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const plain = tail
    ? text.slice(0, tail.index) +
      [tail.slice(1, 3), tail.slice(3, 5)]
        .map(([high, low]) => (Number(high) * 256 + Number(low)).toString(16))
        .join(":")
    : text;
  const [head = "", rest] = plain.split("::");
  const before = groupsOf(head);
  const after = rest === undefined ? [] : groupsOf(rest);
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  before.forEach((group, at) => view.setUint16(at * 2, group));
  after.forEach((group, at) => view.setUint16((8 - after.length + at) * 2, group));
  return bytes;
}

function groupsOf(text: string): number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
}

function isMapped(bytes: Uint8Array): boolean {
  return (
    bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff
  );
}
