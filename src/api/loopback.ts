// Which names and addresses are this host's loopback.

/** An address as the socket gives it; IPv4 may come mapped into IPv6. */
export function isLoopbackAddress(address: string): boolean {
  return address === "::1" || isLoopbackIpv4(address.replace(/^::ffff:/i, ""));
}

/** A host as a URL or a `Host` header gives it, without the port. Names are compared whole, never by prefix. */
export function isLoopbackName(host: string): boolean {
  return host === "localhost" || host === "[::1]" || isLoopbackIpv4(host);
}

function isLoopbackIpv4(address: string): boolean {
  const octets = /^127\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(address);
  return octets !== null && octets.slice(1).every((octet) => Number(octet) <= 255);
}
