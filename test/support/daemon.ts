// The built program under test: dist/observer as a process of its own, spoken to as users do.

import { chmodSync, chownSync, copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");
/** A start takes about 100 ms; a machine that is busy with other tests takes longer. */
const START_PATIENCE_MS = 20_000;
/** systemd would wait 90 s; the program itself promises 5 s of grace. */
const STOP_PATIENCE_MS = 15_000;
/** uid and gid of `nobody` on Debian. */
export const NOBODY = 65_534;

let built: string | undefined;

/** Path of dist/observer, built anew when it is older than its sources. */
export function observerBinary(): string {
  if (built !== undefined) return built;
  const run = Bun.spawnSync(["sh", join(ROOT, "scripts/build.sh")]);
  if (!run.success) throw new Error(`Cannot build dist/observer: ${run.stderr.toString()}`);
  built = join(ROOT, "dist/observer");
  return built;
}

/** True where tests can start a process as another user; prints the reason where not. */
export function canBeNobody(): boolean {
  const can = process.geteuid?.() === 0 && Bun.which("setpriv") !== null;
  if (!can) console.log("skipped: becoming another user needs root and setpriv");
  return can;
}

/** Whether `nobody` can run a program of the tests; prints the reason where not. Ask `canBeNobody` first. */
export function canNobodyRead(program: string): boolean {
  const can = [program, process.execPath].every(
    (path) => Bun.spawnSync(asUid(NOBODY, ["test", "-r", path])).success,
  );
  if (!can) console.log("skipped: this user's files are not readable to nobody");
  return can;
}

/** `command` as another user. */
export function asUid(uid: number, command: string[]): string[] {
  return ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", ...command];
}

/** A directory that `nobody` can enter, gone when it is disposed of. */
export function createRoom(uid?: number): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "observer-binary-"));
  if (uid === undefined) chmodSync(path, 0o755);
  else chownSync(path, uid, uid);
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Copies a program into `directory` under `name`, for users who cannot reach where it lies. */
export function copyProgram(from: string, to: { directory: string; name: string }): string {
  const path = join(to.directory, to.name);
  copyFileSync(from, path);
  chmodSync(path, 0o755);
  return path;
}

/** No variable of the tests' own environment decides what the program does. */
const BARE: Record<string, string> = { PATH: "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" };

export interface Ran {
  status: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  binary?: string;
  env?: Record<string, string>;
  cwd?: string;
  uid?: number;
  timeoutMs?: number;
}

/** Runs one command line of the program to its end. */
export async function runObserver(args: string[], options: RunOptions = {}): Promise<Ran> {
  const command = [options.binary ?? observerBinary(), ...args];
  const child = Bun.spawn(options.uid === undefined ? command : asUid(options.uid, command), {
    env: { ...BARE, ...options.env },
    cwd: options.cwd ?? tmpdir(),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: options.timeoutMs ?? 30_000,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  await child.exited;
  return { status: child.exitCode, stdout, stderr };
}

export type Row = Record<string, unknown>;

export interface Answer {
  status: number;
  headers: Headers;
  body: Row;
}

export interface Daemon extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`, as it is printed. */
  url: string;
  port: number;
  /** The data directory. */
  data: string;
  pid: number;
  /** What it said on standard error so far. */
  log(): string;
  /** SIGTERM; resolves with the exit status. */
  stop(): Promise<number | null>;
  /** SIGKILL; resolves when it is gone. */
  kill9(): Promise<void>;
  /** A client verb against this daemon, over its unix socket. */
  cli(...args: string[]): Promise<Ran>;
  get(path: string): Promise<Answer>;
  post(path: string, body: unknown): Promise<Answer>;
  /** Every row of a list, page by page. */
  list(path: string): Promise<Row[]>;
}

export interface DaemonOptions extends RunOptions {
  flags?: string[];
  /** Kept when the daemon ends; otherwise a fresh one, which goes with it. */
  data?: string;
}

/** Starts `observer serve` on a free port and waits until it is ready. Dispose of it with `await using`. */
export async function startDaemon(options: DaemonOptions = {}): Promise<Daemon> {
  const room = options.data === undefined ? createRoom(options.uid) : undefined;
  const data = options.data ?? join(room?.path ?? "", "data");
  const command = [
    options.binary ?? observerBinary(),
    "serve",
    "--port",
    "0",
    "--data",
    data,
    ...(options.flags ?? []),
  ];
  const child = Bun.spawn(options.uid === undefined ? command : asUid(options.uid, command), {
    // Other tests play agents on the same host; each daemon looks for its own only, unless it is asked to.
    env: { ...BARE, OBSERVER_AGENTS_ENABLED: "false", ...options.env },
    cwd: options.cwd ?? tmpdir(),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  let log = "";
  const drained = drain(child.stderr, (text) => void (log += text));
  const ended = async (signal: NodeJS.Signals): Promise<number | null> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    const late = setTimeout(() => child.kill("SIGKILL"), STOP_PATIENCE_MS);
    await child.exited;
    clearTimeout(late);
    await drained;
    return child.exitCode;
  };
  const dispose = async (): Promise<void> => {
    await ended("SIGTERM");
    room?.[Symbol.dispose]();
  };
  try {
    const url = await printedUrl(child.stdout);
    await ready(url, data);
    return {
      ...callsOf(url),
      url,
      port: Number(new URL(url).port),
      data,
      pid: child.pid,
      log: () => log,
      stop: () => ended("SIGTERM"),
      kill9: async () => void (await ended("SIGKILL")),
      cli: (...args) => runObserver(withData(args, data), options),
      [Symbol.asyncDispose]: dispose,
    };
  } catch (thrown) {
    await dispose();
    throw new Error(`The daemon did not start: ${log}`, { cause: thrown });
  }
}

/** What follows `--` is not ours. */
function withData(args: string[], data: string): string[] {
  const end = args.indexOf("--");
  const own = end < 0 ? args : args.slice(0, end);
  return [...own, "--data", data, ...args.slice(own.length)];
}

async function drain(stream: ReadableStream<Uint8Array>, take: (text: string) => void) {
  const decoder = new TextDecoder();
  for await (const chunk of stream) take(decoder.decode(chunk, { stream: true }));
}

async function printedUrl(stdout: ReadableStream<Uint8Array>): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const late = setTimeout(() => reject(new Error("it printed no URL")), START_PATIENCE_MS);
  let text = "";
  void drain(stdout, (more) => {
    text += more;
    const url = /observer is watching: (\S+)\n/.exec(text)?.[1];
    if (url !== undefined) resolve(url);
  }).then(() => reject(new Error("it ended")), reject);
  return await promise.finally(() => clearTimeout(late));
}

/** The unix socket belongs to the daemon's user, so it answers root and that user without a token. */
async function ready(url: string, data: string): Promise<void> {
  const deadline = performance.now() + START_PATIENCE_MS;
  while (performance.now() < deadline) {
    const answer = await fetch(`${url}/readyz`, { unix: join(data, "observer.sock") });
    await answer.arrayBuffer();
    // With --require-token the socket asks for one too; then it is up, and that is all we can know.
    if (answer.ok || answer.status === 401) return;
    await Bun.sleep(10);
  }
  throw new Error("it was not ready in time");
}

function callsOf(url: string): Pick<Daemon, "get" | "post" | "list"> {
  const get = async (path: string): Promise<Answer> => answerOf(await fetch(`${url}${path}`));
  return {
    get,
    post: async (path, body) =>
      answerOf(
        await fetch(`${url}${path}`, {
          method: "POST",
          body: typeof body === "string" ? body : JSON.stringify(body),
        }),
      ),
    async list(path) {
      const rows: Row[] = [];
      let cursor: string | null = null;
      do {
        const page = `${path}${path.includes("?") ? "&" : "?"}limit=1000`;
        const more: string = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
        const { status, body } = await get(`${page}${more}`);
        if (status !== 200) throw new Error(`${path} answered ${status}: ${JSON.stringify(body)}`);
        rows.push(...(body["items"] as Row[]));
        cursor = body["next_cursor"] as string | null;
      } while (cursor !== null);
      return rows;
    },
  };
}

async function answerOf(response: Response): Promise<Answer> {
  const { status, headers } = response;
  return { status, headers, body: (await response.json()) as Row };
}

/** Asks again until `look` finds something; throws with `what` when it does not in `patienceMs`. */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false | null> | T | undefined | false | null,
  patienceMs = 10_000,
): Promise<T> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false && found !== null) return found;
    if (performance.now() > deadline) {
      throw new Error(`Waited ${patienceMs} ms and it is not so: ${what}`);
    }
    await Bun.sleep(5);
  }
}
