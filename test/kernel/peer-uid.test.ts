import { afterAll, expect, test } from "bun:test";
import * as fc from "fast-check";
import { readFileSync } from "node:fs";
import { parseIpAddress } from "../../src/kernel/ip-address.ts";
import { findInSocketTable, lookupPeerUid } from "../../src/kernel/peer-uid.ts";
import { parseDiagAnswer, writeDiagRequest } from "../../src/kernel/structs/inet-diag.ts";

const asRoot = process.getuid?.() === 0;
const NOBODY = 65_534;
const sockets: { stop(force?: boolean): void }[] = [];
afterAll(() => sockets.forEach((socket) => socket.stop(true)));

interface Seen {
  uid: number | null;
  local: number;
  remote: number;
  address: string;
}

/** A server that looks up each connection when its first bytes come. */
function listen(hostname: string): { port: number; seen: Promise<Seen> } {
  const { promise, resolve } = Promise.withResolvers<Seen>();
  const server = Bun.listen({
    hostname,
    port: 0,
    socket: {
      data(socket) {
        resolve({
          uid: lookupPeerUid({
            localAddress: socket.localAddress,
            localPort: socket.localPort,
            remoteAddress: socket.remoteAddress,
            remotePort: socket.remotePort,
          }),
          local: socket.localPort,
          remote: socket.remotePort,
          address: socket.remoteAddress,
        });
      },
    },
  });
  sockets.push(server);
  return { port: server.port, seen: promise };
}

async function connectSelf(hostname: string, port: number): Promise<void> {
  const socket = await Bun.connect({ hostname, port, socket: { data() {} } });
  socket.write("x");
  sockets.push({ stop: () => socket.end() });
}

test.each(["127.0.0.1", "::1"])(
  "lookupPeerUid names this process's own user on %s",
  async (host) => {
    const { port, seen } = listen(host);
    await connectSelf(host, port);
    expect((await seen).uid).toBe(process.getuid?.() ?? -1);
  },
);

test("lookupPeerUid knows a client that came as IPv4 to an IPv6 listener", async () => {
  const { port, seen } = listen("::");
  await connectSelf("127.0.0.1", port);
  expect((await seen).uid).toBe(process.getuid?.() ?? -1);
});

// A client in another process and of another user, in plain bash so that it is a foreign program.
function bashClient(script: string): { exited: Promise<number> } {
  return Bun.spawn(
    ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", "bash", "-c", script],
    { stdin: "ignore", stdout: "ignore", stderr: "inherit" },
  );
}

test.skipIf(!asRoot || !Bun.which("setpriv"))(
  "lookupPeerUid names another user (needs root and setpriv)",
  async () => {
    const { port, seen } = listen("127.0.0.1");
    const client = bashClient(`exec 3<>/dev/tcp/127.0.0.1/${port}; echo x >&3; sleep 1`);
    expect((await seen).uid).toBe(NOBODY);
    await client.exited;
  },
);

test.skipIf(!asRoot || !Bun.which("setpriv"))(
  "lookupPeerUid does not take a closed client for root (needs root and setpriv)",
  async () => {
    const received = Promise.withResolvers<Parameters<typeof lookupPeerUid>[0]>();
    const server = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      allowHalfOpen: true,
      socket: {
        data(socket) {
          received.resolve({
            localAddress: socket.localAddress,
            localPort: socket.localPort,
            remoteAddress: socket.remoteAddress,
            remotePort: socket.remotePort,
          });
        },
      },
    });
    sockets.push(server);
    const client = bashClient(`exec 3<>/dev/tcp/127.0.0.1/${server.port}; echo x >&3`);
    const connection = await received.promise;
    expect(await client.exited).toBe(0);
    expect(lookupPeerUid(connection)).toBeNull();
  },
);

test("lookupPeerUid does not take a listener on the client's port for the client", () => {
  const { port } = listen("127.0.0.1");
  const unconnected = {
    localAddress: "127.0.0.1",
    localPort: 9,
    remoteAddress: "127.0.0.1",
    remotePort: port,
  };
  expect(lookupPeerUid(unconnected)).toBeNull();
});

test("lookupPeerUid answers null for what is no connection", () => {
  const at = (remoteAddress: string) =>
    lookupPeerUid({ localAddress: "127.0.0.1", localPort: 1, remoteAddress, remotePort: 1 });
  expect(at("nonsense")).toBeNull();
  expect(at("::1")).toBeNull();
  expect(at("127.0.0.1")).toBeNull();
});

test.each(["127.0.0.1", "::1"])("findInSocketTable agrees with netlink on %s", async (host) => {
  const { port, seen } = listen(host);
  await connectSelf(host, port);
  const { uid, local, remote } = await seen;
  const address = parseIpAddress(host)!;
  const row = findInSocketTable(
    readFileSync(host === "::1" ? "/proc/net/tcp6" : "/proc/net/tcp", "latin1"),
    { localAddress: address, localPort: remote, remoteAddress: address, remotePort: local },
  );
  expect(row).toMatchObject({ uid: uid!, state: 1 });
  expect(row!.inode).toBeGreaterThan(0);
});

test("parseIpAddress reads every form of an address", () => {
  expect([...parseIpAddress("127.0.0.1")!]).toEqual([127, 0, 0, 1]);
  expect([...parseIpAddress("::ffff:10.1.2.3")!]).toEqual([10, 1, 2, 3]);
  expect([...parseIpAddress("::1")!]).toEqual([...Array<number>(15).fill(0), 1]);
  expect([...parseIpAddress("fe80::1:2")!.subarray(12)]).toEqual([0, 1, 0, 2]);
  expect(parseIpAddress("127.evil.com")).toBeNull();
  expect(parseIpAddress("fe80::1%eth0")).toBeNull();
});

test("parseIpAddress round-trips any full IPv6 address", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      fc.pre(bytes.subarray(0, 10).some((byte) => byte !== 0));
      const groups = Array.from({ length: 8 }, (_, at) =>
        ((bytes[at * 2]! << 8) | bytes[at * 2 + 1]!).toString(16),
      );
      expect([...parseIpAddress(groups.join(":"))!]).toEqual([...bytes]);
    }),
  );
});

test("parseDiagAnswer never throws and finds no socket in arbitrary bytes of another connection", () => {
  const tuple = {
    localAddress: new Uint8Array(4),
    localPort: 70_000, // No 16-bit port equals it.
    remoteAddress: new Uint8Array(4),
    remotePort: 1,
  };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(parseDiagAnswer(bytes, tuple)).toBeNull();
    }),
  );
  expect(writeDiagRequest(tuple).length).toBe(72);
});
