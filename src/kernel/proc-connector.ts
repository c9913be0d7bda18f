// The proc connector: the kernel tells of every process that starts, executes a program, or ends, with its status.

import { closeSync } from "node:fs";
import { ptr } from "bun:ffi";
import { messageOf, ObserverError } from "../core/errors.ts";
import { checked, duplicate, failedWith, libc, resultOf, SystemCallError } from "./libc.ts";
import {
  filterProgram,
  OP_IGNORE,
  OP_LISTEN,
  parseProcEvents,
  procConnectorAddress,
  procConnectorAnswer,
  procConnectorRequest,
  processesOnlyFilter,
  type ProcEvent,
} from "./structs/proc-event.ts";

const AF_NETLINK = 16;
// SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK.
const SOCK_TYPE = 2 | 0x80800;
const NETLINK_CONNECTOR = 11;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_ATTACH_FILTER = 26;
const SO_RCVBUFFORCE = 33;
const EAGAIN = 11;

/** Holds about a second of the worst fork storm of two cores (14,000 forks/s); with the default of 208 KiB 2 % of its events were lost. */
const BUFFER_BYTES = 8 * 1_024 * 1_024;
const DATAGRAM_BYTES = 8_192;
const ANSWER_MS = 500;
/** A shell that does nothing takes some ms; a host that is busy starts it later. */
const DEATH_MS = 3_000;
const LOOK_EVERY_MS = 2;

export interface ProcConnector {
  /** Watch it with `drain` and `procEventsOf`. It belongs to whoever watches it. */
  fd: number;
  /** Tells the kernel that nobody listens any more; does not close `fd`. */
  close(): void;
}

/**
 * A listener that has proven that it hears: the kernel answered, and the death of a child was seen. Throws
 * `ObserverError` `unavailable` with the reason in words.
 */
export async function openProcConnector(): Promise<ProcConnector> {
  const fd = openSocket();
  const close = closer(fd);
  try {
    send(fd, OP_LISTEN);
    await expectAnswer(fd);
    await expectDeath(fd);
    return { fd, close };
  } catch (thrown) {
    close();
    closeSync(fd);
    throw unavailable(thrown);
  }
}

/** What a wake of the connector tells; what was lost comes first. */
export function procEventsOf(wake: {
  chunks: Uint8Array[];
  lost: number;
  atMs: number;
}): ProcEvent[] {
  const lost: ProcEvent[] = wake.lost > 0 ? [{ what: "lost", pid: 0, atMs: wake.atMs }] : [];
  return [...lost, ...wake.chunks.flatMap(parseProcEvents)];
}

function openSocket(): number {
  let fd = -1;
  try {
    fd = checked("socket", libc().socket(AF_NETLINK, SOCK_TYPE, NETLINK_CONNECTOR));
    enlargeBuffer(fd);
    const filter = processesOnlyFilter();
    const program = filterProgram(filter, BigInt(ptr(filter)));
    checked(
      "setsockopt",
      libc().setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, program, program.length),
    );
    const address = procConnectorAddress();
    checked("bind", libc().bind(fd, address, address.length));
    return fd;
  } catch (thrown) {
    if (fd >= 0) closeSync(fd);
    throw unavailable(thrown);
  }
}

function enlargeBuffer(fd: number): void {
  const size = new Int32Array([BUFFER_BYTES]);
  const forced = libc().setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, size, 4);
  // Without CAP_NET_ADMIN as much as net.core.rmem_max allows.
  if (forced < 0) libc().setsockopt(fd, SOL_SOCKET, SO_RCVBUF, size, 4);
}

function send(fd: number, operation: number): void {
  const request = procConnectorRequest(operation);
  checked("send", libc().send(fd, request, request.length, 0));
}

/** Ending goes through a number of its own, so that it never meets a file that took over `fd`'s. */
function closer(fd: number): () => void {
  let own = duplicate(fd);
  return () => {
    if (own < 0) return;
    try {
      send(own, OP_IGNORE);
    } catch {
      // Older kernels then go on sending to nobody; there is nothing else to try.
    }
    closeSync(own);
    own = -1;
  };
}

async function expectAnswer(fd: number): Promise<void> {
  const answer = await look(fd, ANSWER_MS, procConnectorAnswer);
  if (answer === null) {
    throw new Error(
      "the kernel does not answer; it lacks CONFIG_PROC_EVENTS, or this is not its first pid namespace",
    );
  }
  if (answer !== 0) throw new SystemCallError("PROC_CN_MCAST_LISTEN", answer);
}

async function expectDeath(fd: number): Promise<void> {
  let child: Bun.Subprocess;
  try {
    child = Bun.spawn(["/bin/sh", "-c", ":"], { stdio: ["ignore", "ignore", "ignore"], env: {} });
  } catch {
    return; // No shell to test with: the answer has to do.
  }
  const { pid } = child;
  const find = (chunk: Uint8Array): true | null =>
    parseProcEvents(chunk).some((event) => event.what === "exit" && event.pid === pid) || null;
  const seen = await look(fd, DEATH_MS, find);
  await child.exited;
  if (seen === null) {
    throw new Error("the death of a child was not told; this is not the first pid namespace");
  }
}

/** Reads until `find` finds something; null when it does not within `patienceMs`. */
async function look<T>(
  fd: number,
  patienceMs: number,
  find: (chunk: Uint8Array) => T | null,
): Promise<T | null> {
  const buffer = new Uint8Array(DATAGRAM_BYTES);
  const tries = Math.ceil(patienceMs / LOOK_EVERY_MS);
  for (let attempt = 0; attempt <= tries; attempt += 1) {
    for (;;) {
      const got = resultOf(libc().recv(fd, buffer, buffer.length, 0));
      if (got === -EAGAIN || got === 0) break;
      if (got < 0) continue; // ENOBUFS, EINTR: go on reading.
      const found = find(buffer.subarray(0, got));
      if (found !== null) return found;
    }
    await Bun.sleep(LOOK_EVERY_MS);
  }
  return null;
}

function unavailable(thrown: unknown): ObserverError {
  if (thrown instanceof ObserverError) return thrown;
  const forbidden = failedWith(thrown, "EPERM", "EACCES");
  return new ObserverError("unavailable", `Process events of the kernel: ${reasonOf(thrown)}`, {
    cause: thrown,
    // A namespace or a kernel without them is nothing that a setting mends.
    detail: forbidden ? {} : { fix: null },
  });
}

function reasonOf(thrown: unknown): string {
  if (failedWith(thrown, "EPERM", "EACCES")) return "CAP_NET_ADMIN is missing";
  if (failedWith(thrown, "ECONNREFUSED")) return "this is not the host's network namespace";
  if (failedWith(thrown, "EPROTONOSUPPORT", "EAFNOSUPPORT")) {
    return "the kernel was built without CONFIG_CONNECTOR";
  }
  return messageOf(thrown);
}
