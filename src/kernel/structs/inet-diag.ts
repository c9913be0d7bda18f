// Layouts of NETLINK_SOCK_DIAG for one exact socket (linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h).

/** A socket as its owner names it. Addresses are 4 or 16 bytes, both of the same length. */
export interface FourTuple {
  localAddress: Uint8Array;
  localPort: number;
  remoteAddress: Uint8Array;
  remotePort: number;
}

export interface DiagAnswer {
  /** net/tcp_states.h. */
  state: number;
  uid: number;
  /** 0 for a socket that no process holds any more. */
  inode: number;
}

// struct nlmsghdr { u32 len; u16 type; u16 flags; u32 seq; u32 pid; }
const HEADER_BYTES = 16;
const NLM_F_REQUEST = 1;
const SOCK_DIAG_BY_FAMILY = 20;

// struct inet_diag_req_v2 { u8 family, protocol, ext, pad; u32 states; struct inet_diag_sockid id; }
const REQUEST_BYTES = 56;
const REQUEST_ID = HEADER_BYTES + 8;

// struct inet_diag_sockid { be16 sport, dport; be32 src[4], dst[4]; u32 if; u32 cookie[2]; }
const ID_SOURCE_PORT = 0;
const ID_REMOTE_PORT = 2;
const ID_SOURCE = 4;
const ID_REMOTE = 20;
const ID_COOKIE = 40;

// struct inet_diag_msg { u8 family, state, timer, retrans; sockid id; u32 expires, rqueue, wqueue, uid, inode; }
const ANSWER_BYTES = 72;
const ANSWER_STATE = HEADER_BYTES + 1;
const ANSWER_ID = HEADER_BYTES + 4;
const ANSWER_UID = HEADER_BYTES + 64;
const ANSWER_INODE = HEADER_BYTES + 68;

const AF_INET = 2;
const AF_INET6 = 10;
const IPPROTO_TCP = 6;
const ALL_STATES = 0xffff_ffff;
const NO_COOKIE = 0xffff_ffff;

/** The request for exactly this socket. */
export function writeDiagRequest(tuple: FourTuple): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + REQUEST_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, SOCK_DIAG_BY_FAMILY, true);
  view.setUint16(6, NLM_F_REQUEST, true);
  view.setUint32(8, 1, true);
  bytes[HEADER_BYTES] = tuple.localAddress.length === 4 ? AF_INET : AF_INET6;
  bytes[HEADER_BYTES + 1] = IPPROTO_TCP;
  view.setUint32(HEADER_BYTES + 4, ALL_STATES, true);
  view.setUint16(REQUEST_ID + ID_SOURCE_PORT, tuple.localPort);
  view.setUint16(REQUEST_ID + ID_REMOTE_PORT, tuple.remotePort);
  bytes.set(tuple.localAddress, REQUEST_ID + ID_SOURCE);
  bytes.set(tuple.remoteAddress, REQUEST_ID + ID_REMOTE);
  view.setUint32(REQUEST_ID + ID_COOKIE, NO_COOKIE, true);
  view.setUint32(REQUEST_ID + ID_COOKIE + 4, NO_COOKIE, true);
  return bytes;
}

/**
 * The socket in an answer; null when the answer is an error or is about another socket: without a connected
 * one the kernel answers with whoever listens on the client's port.
 */
export function parseDiagAnswer(bytes: Uint8Array, tuple: FourTuple): DiagAnswer | null {
  if (bytes.length < HEADER_BYTES + ANSWER_BYTES) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint16(4, true) !== SOCK_DIAG_BY_FAMILY) return null;
  if (view.getUint16(ANSWER_ID + ID_SOURCE_PORT) !== tuple.localPort) return null;
  if (view.getUint16(ANSWER_ID + ID_REMOTE_PORT) !== tuple.remotePort) return null;
  return {
    state: view.getUint8(ANSWER_STATE),
    uid: view.getUint32(ANSWER_UID, true),
    inode: view.getUint32(ANSWER_INODE, true),
  };
}
