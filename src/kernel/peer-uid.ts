// Who is at the other end of a loopback TCP connection, by socket diagnostics of the kernel.

import { readFileSync } from "node:fs";
import { type Libc, libc } from "./libc.ts";
import {
  type DiagAnswer,
  type FourTuple,
  parseDiagAnswer,
  writeDiagRequest,
} from "./structs/inet-diag.ts";
import { parseIpAddress } from "./ip-address.ts";

/** Both ends of a connection as this process sees them: the client is the remote one. */
export interface PeerConnection {
  localAddress: string;
  localPort: number;
  remoteAddress: string;
  remotePort: number;
}

// linux/netlink.h, linux/socket.h (x86-64 and arm64 agree).
const AF_NETLINK = 16;
const SOCK_DGRAM_CLOEXEC = 2 | 0x80000;
const NETLINK_SOCK_DIAG = 4;
const MSG_DONTWAIT = 0x40;
// One answer is 88 bytes plus attributes of which none are asked for.
const ANSWER_BYTES_MAX = 1024;

// net/tcp_states.h. A client that half-closed still owns its socket; a listener, a TIME_WAIT or a request
// socket does not tell who connected.
const ESTABLISHED = 1;
const FIN_WAIT1 = 4;
const FIN_WAIT2 = 5;
const CLOSE_WAIT = 8;
const OWNED_STATES = new Set([ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT]);

/**
 * The uid that owns the client's socket of a connection between two addresses of this host; null when that
 * cannot be told, which must be taken as "nobody who may". A socket that its process has closed is unknown:
 * the kernel shows such an orphan with uid 0 and no inode.
 */
export function lookupPeerUid(connection: PeerConnection): number | null {
  const client = parseIpAddress(connection.remoteAddress);
  const server = parseIpAddress(connection.localAddress);
  if (!client || !server || client.length !== server.length) return null;
  const tuple: FourTuple = {
    localAddress: client,
    localPort: connection.remotePort,
    remoteAddress: server,
    remotePort: connection.localPort,
  };
  const asked = askKernel(tuple);
  if (asked !== "unavailable") return ownerOf(asked);
  return ownerOf(readSocketTable(tuple));
}

function ownerOf(answer: DiagAnswer | null): number | null {
  return answer && answer.inode !== 0 && OWNED_STATES.has(answer.state) ? answer.uid : null;
}

/** The socket by netlink; null when there is none; `unavailable` where netlink cannot be used. */
function askKernel(tuple: FourTuple): DiagAnswer | null | "unavailable" {
  let calls: Libc;
  try {
    calls = libc();
  } catch {
    return "unavailable"; // No glibc: the table in /proc says the same, slower.
  }
  const fd = calls.socket(AF_NETLINK, SOCK_DGRAM_CLOEXEC, NETLINK_SOCK_DIAG);
  if (fd < 0) return "unavailable";
  try {
    const request = writeDiagRequest(tuple);
    if (Number(calls.send(fd, request, request.length, 0)) !== request.length) return "unavailable";
    const answer = new Uint8Array(ANSWER_BYTES_MAX);
    // The kernel answers within send(), so there is nothing to wait for.
    const length = Number(calls.recv(fd, answer, answer.length, MSG_DONTWAIT));
    return length <= 0 ? "unavailable" : parseDiagAnswer(answer.subarray(0, length), tuple);
  } finally {
    calls.close(fd);
  }
}

function readSocketTable(tuple: FourTuple): DiagAnswer | null {
  const path = tuple.localAddress.length === 4 ? "/proc/net/tcp" : "/proc/net/tcp6";
  try {
    return findInSocketTable(readFileSync(path, "latin1"), tuple);
  } catch {
    return null; // No /proc: nothing can be told.
  }
}

/** The row of `/proc/net/tcp` or `tcp6` that is this socket. */
export function findInSocketTable(table: string, tuple: FourTuple): DiagAnswer | null {
  const local = `${tableAddress(tuple.localAddress)}:${tablePort(tuple.localPort)}`;
  const remote = `${tableAddress(tuple.remoteAddress)}:${tablePort(tuple.remotePort)}`;
  for (const line of table.split("\n")) {
    const fields = line.trim().split(/\s+/);
    if (fields[1] !== local || fields[2] !== remote) continue;
    return {
      state: Number.parseInt(fields[3] ?? "", 16),
      uid: Number(fields[7]),
      inode: Number(fields[9]),
    };
  }
  return null;
}

// The table prints each 32-bit word of an address as a number of the host, which is little-endian here.
function tableAddress(address: Uint8Array): string {
  const view = new DataView(address.buffer, address.byteOffset, address.length);
  let text = "";
  for (let at = 0; at < address.length; at += 4) {
    text += view.getUint32(at, true).toString(16).padStart(8, "0");
  }
  return text.toUpperCase();
}

function tablePort(port: number): string {
  return port.toString(16).padStart(4, "0").toUpperCase();
}
