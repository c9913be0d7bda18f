// Sockets of the API: both loopbacks on one port, and a unix socket for the command line.

import { chmodSync, lstatSync, rmSync } from "node:fs";
import { messageOf, ObserverError } from "../core/errors.ts";
import type { ApiDeps } from "./deps.ts";
import { bindListener, type Listener } from "./listener.ts";
import { isLoopbackAddress } from "./loopback.ts";
import type { Api } from "./server.ts";

const LOOPBACKS = ["127.0.0.1", "::1"];
/** Seconds that a connection may be silent; also ends clients that drip a request byte by byte. */
const IDLE_TIMEOUT_S = 20;
/**
 * Never reached by a body that is read: routes refuse beyond their own limits, with a proper answer, and what
 * a client still sends is discarded unread.
 */
const BODY_BYTES_MAX = 2 ** 40;
/** Free ports tried on the first address until one is free on the others too. */
const PORT_ATTEMPTS = 10;
/** sun_path of sockaddr_un, less its final zero. */
const UNIX_PATH_BYTES_MAX = 107;
const STOP_POLL_MS = 10;

export interface ListenOptions {
  /** 0 takes a free one, the same on every address. */
  port: number;
  /** Absent: both loopbacks, of which ::1 may be missing on this host. */
  hosts?: readonly string[];
  /** Socket of the data directory; absent: none. */
  unixSocketPath?: string;
}

export interface Listening {
  port: number;
  /** `http://127.0.0.1:3800`, one for each address. */
  urls: string[];
  /** Takes no more connections, waits for requests in flight up to `graceMs`, then cuts them. */
  stop(graceMs: number): Promise<void>;
}

type Server = Bun.Server<undefined>;

/** Throws `occupied` when a port or socket is taken, `failed` for an address that cannot be bound. */
export async function listen(api: Api, deps: ApiDeps, options: ListenOptions): Promise<Listening> {
  const servers = listenTcp(api, deps, options);
  const port = servers[0]?.port ?? options.port;
  try {
    if (options.unixSocketPath !== undefined) {
      servers.push(await listenUnix(api, { path: options.unixSocketPath, port }));
    }
  } catch (thrown) {
    await Promise.all(servers.map((server) => server.stop(true)));
    throw thrown;
  }
  return {
    port,
    urls: servers.filter(({ port }) => port !== undefined).map(({ url }) => url.origin),
    async stop(graceMs) {
      api.close();
      await stopServers(servers, { deps, graceMs });
      if (options.unixSocketPath !== undefined) rmSync(options.unixSocketPath, { force: true });
    },
  };
}

async function stopServers(
  servers: Server[],
  { deps, graceMs }: { deps: ApiDeps; graceMs: number },
): Promise<void> {
  const drained = Promise.all(servers.map((server) => server.stop()));
  const deadline = deps.clock.monotonic() + graceMs;
  const isBusy = (): boolean => servers.some(({ pendingRequests }) => pendingRequests > 0);
  while (isBusy() && deps.clock.monotonic() < deadline) await Bun.sleep(STOP_POLL_MS);
  await Promise.all(servers.map((server) => server.stop(true)));
  await drained;
}

function listenTcp(api: Api, deps: ApiDeps, { port, hosts }: ListenOptions): Server[] {
  const wanted = hosts ?? LOOPBACKS;
  for (let attempt = 1; ; attempt += 1) {
    const servers: Server[] = [];
    try {
      for (const host of wanted) {
        const server = serveTcp(api, { host, port: servers[0]?.port ?? port });
        if (server) servers.push(server);
        else if (hosts || servers.length === 0)
          throw unbound(host, "there is no such address here");
        else deps.log.warn("address is missing on this host", { address: host });
      }
      return servers;
    } catch (thrown) {
      for (const server of servers) void server.stop(true);
      const retry = port === 0 && servers.length > 0 && attempt < PORT_ATTEMPTS;
      if (!retry) throw thrown;
    }
  }
}

/** Null when this host has no such address. */
function serveTcp(api: Api, { host, port }: { host: string; port: number }): Server | null {
  const listener = tcpListener(host, () => server);
  let server: Server;
  try {
    // In production mode Bun shares the port with whoever asks for it too, unless told not to.
    server = Bun.serve({
      hostname: host,
      port,
      reusePort: false,
      idleTimeout: IDLE_TIMEOUT_S,
      ...serveOptions(api, listener),
    });
  } catch (cause) {
    const code = (cause as { code?: unknown }).code;
    if (code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT") return null;
    if (code === "EADDRINUSE") {
      throw new ObserverError(
        "occupied",
        `Cannot listen on ${host} port ${port}: another program has it; choose one with --port`,
        { cause, detail: { host, port } },
      );
    }
    throw unbound(host, messageOf(cause));
  }
  return server;
}

function unbound(host: string, reason: string): ObserverError {
  return new ObserverError("failed", `Cannot listen on ${host}: ${reason}`, { detail: { host } });
}

function serveOptions(api: Api, listener: Listener) {
  return {
    maxRequestBodySize: BODY_BYTES_MAX,
    development: false,
    fetch(request: Request): Promise<Response> {
      bindListener(request, listener);
      return api.handle(request);
    },
    // The API answers its own errors; what comes here is a bug between it and the socket.
    error: () => Response.json({ error: "internal error" }, { status: 500 }),
  } as const;
}

function tcpListener(host: string, server: () => Server): Listener {
  const isLoopbackOnly = isLoopbackAddress(host);
  const isRemoteLoopback = (request: Request): boolean => {
    const remote = server().requestIP(request);
    return remote !== null && isLoopbackAddress(remote.address);
  };
  return {
    via: (request) => (isLoopbackOnly || isRemoteLoopback(request) ? "loopback" : "network"),
    ends(request) {
      const remote = server().requestIP(request);
      const localPort = server().port;
      if (!remote || localPort === undefined) return null;
      // On a wildcard address the client's own loopback address is the one that it called.
      const localAddress = isLoopbackOnly ? host : calledAddress(remote.address);
      return {
        localAddress,
        localPort,
        remoteAddress: remote.address,
        remotePort: remote.port,
      };
    },
    keepOpen: (request) => server().timeout(request, 0),
    port: () => server().port ?? null,
  };
}

function calledAddress(remoteAddress: string): string {
  return remoteAddress === "::1" ? "::1" : "127.0.0.1";
}

async function listenUnix(
  api: Api,
  { path, port }: { path: string; port: number },
): Promise<Server> {
  if (Buffer.byteLength(path) > UNIX_PATH_BYTES_MAX) {
    throw new ObserverError(
      "invalid",
      `Cannot listen on socket "${path}": its path is longer than ${UNIX_PATH_BYTES_MAX} bytes`,
    );
  }
  await removeStaleSocket(path);
  const listener: Listener = {
    via: () => "unix",
    ends: () => null,
    keepOpen: (request) => server.timeout(request, 0),
    port: () => port,
  };
  // Made with its final mode: whoever connects counts as observer's own user.
  const mask = process.umask(0o177);
  let server: Server;
  try {
    server = Bun.serve({ unix: path, ...serveOptions(api, listener) });
  } finally {
    process.umask(mask);
  }
  chmodSync(path, 0o600);
  return server;
}

/** Removes a socket that a dead observer left; throws `occupied` when a live one answers or it is no socket. */
async function removeStaleSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return;
  if (!found.isSocket()) {
    throw new ObserverError(
      "occupied",
      `Cannot listen on "${path}": a file that is no socket is there`,
    );
  }
  if (await answers(path)) {
    throw new ObserverError(
      "occupied",
      `Cannot listen on "${path}": another observer answers there`,
    );
  }
  rmSync(path, { force: true });
}

async function answers(path: string): Promise<boolean> {
  try {
    const socket = await Bun.connect({ unix: path, socket: { data() {} } });
    socket.end();
    return true;
  } catch {
    return false; // Refused: nobody listens.
  }
}
