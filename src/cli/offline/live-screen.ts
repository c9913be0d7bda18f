// The terminal's other screen, drawn anew every second until `q` or a signal, and given back whatever happens.

import { writeSync } from "node:fs";
import { constants } from "node:os";
import { isatty } from "node:tty";
import type { CliIo } from "../io.ts";
import type { ScreenSize } from "../local.ts";

const EVERY_MS = 1_000;
/** A shell's exit status for a death by signal n. */
const SIGNAL_STATUS = 128;

const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";
const HOME = "\u001b[H";
const CLEAR_LINE = "\u001b[K";
const CLEAR_BELOW = "\u001b[J";

const CTRL_C = "\u0003";
const CTRL_Z = "\u001a";
const ENDING = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;

/** Where no size is known. */
const SIZE_DEFAULT: ScreenSize = { columns: 80, rows: 24 };

/** What a frame looks like on the wire: drawn over the one before, without a flash. */
export function frameBytes(frame: string): string {
  return HOME + frame.replaceAll("\n", `${CLEAR_LINE}\n`) + CLEAR_BELOW;
}

/** Resolves with 0 after `q`, with 128+n after a signal. Rejects with what `frame` throws. */
export async function showLive(
  frame: (size: ScreenSize) => Promise<string>,
  io: Pick<CliIo, "stdout">,
): Promise<number> {
  const end = Promise.withResolvers<number>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let drawing = false;

  const draw = async (): Promise<void> => {
    if (drawing) return;
    drawing = true;
    clearTimeout(timer);
    try {
      io.stdout(frameBytes(await frame(sizeNow())));
      timer = setTimeout(() => void draw(), EVERY_MS);
    } catch (thrown) {
      end.reject(thrown);
    }
    drawing = false;
  };
  const release = takeTerminal({
    redraw: () => void draw(),
    end: (status) => end.resolve(status),
  });
  void draw();
  try {
    return await end.promise;
  } finally {
    clearTimeout(timer);
    release();
  }
}

function sizeNow(): ScreenSize {
  const { columns, rows } = process.stdout;
  return columns && rows ? { columns, rows } : SIZE_DEFAULT;
}

interface Wishes {
  redraw(): void;
  end(status: number): void;
}

/** Takes screen, keys and signals; the returned function gives them back. */
function takeTerminal({ redraw, end }: Wishes): () => void {
  const keys = isatty(0);
  let taken = false;
  const enter = (): void => {
    taken = true;
    if (keys) process.stdin.setRawMode(true);
    writeSync(1, ENTER);
  };
  const leave = (): void => {
    if (!taken) return;
    taken = false;
    if (keys) process.stdin.setRawMode(false);
    writeSync(1, LEAVE);
  };
  const onKey = (typed: Buffer): void => {
    const text = typed.toString("latin1");
    if (text === "q" || text === "Q" || text === CTRL_C) end(0);
    if (text !== CTRL_Z) return;
    leave();
    process.kill(process.pid, "SIGSTOP");
  };
  const onContinue = (): void => {
    if (!taken) enter();
    redraw();
  };
  const handlers = ENDING.map((name) => {
    const handler = (): void => end(SIGNAL_STATUS + constants.signals[name]);
    return { name, handler };
  });
  enter();
  if (keys) process.stdin.on("data", onKey);
  process.on("exit", leave);
  process.on("SIGCONT", onContinue);
  process.on("SIGWINCH", redraw);
  for (const { name, handler } of handlers) process.on(name, handler);
  return () => {
    leave();
    if (keys) process.stdin.off("data", onKey).pause();
    process.off("exit", leave);
    process.off("SIGCONT", onContinue);
    process.off("SIGWINCH", redraw);
    for (const { name, handler } of handlers) process.off(name, handler);
  };
}
