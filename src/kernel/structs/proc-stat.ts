// Text of /proc/PID/stat, status, cmdline and environ, taken apart (proc(5)). Pure: nothing is read here.

export interface ProcessStat {
  pid: number;
  /** At most 15 bytes in the kernel; what is not UTF-8 becomes U+FFFD. May hold spaces, parentheses and newlines. */
  comm: string;
  /** One letter: R, S, D, T, t, Z, X, I. */
  state: string;
  ppid: number;
  pgrp: number;
  session: number;
  /** Device number of the controlling terminal; 0 for none. */
  tty: number;
  /** Clock ticks after boot. */
  startTicks: number;
  utimeTicks: number;
  stimeTicks: number;
  rssPages: number;
  /** Wait status of a zombie, 0 also to those who may not see it; null while it lives. */
  exitStatus: number | null;
}

// Fields after the command, counted from the state, which is field 3 of proc_pid_stat(5).
const PPID = 1;
const PGRP = 2;
const SESSION = 3;
const TTY = 4;
const UTIME = 11;
const STIME = 12;
const START_TIME = 19;
const RSS = 21;
const EXIT_CODE = 49;

const OPEN = 0x28;
const CLOSE = 0x29;

/** Null for what is no such line. */
export function parseStat(line: Buffer): ProcessStat | null {
  const open = line.indexOf(OPEN);
  // The command may hold parentheses itself; nothing after it does.
  const close = line.lastIndexOf(CLOSE);
  if (open < 2 || close < open) return null;
  const fields = line.toString("latin1", close + 2).split(" ");
  const number = (at: number): number => Number(fields[at]);
  const stat: ProcessStat = {
    pid: Number(line.toString("latin1", 0, open)),
    comm: line.toString("utf8", open + 1, close),
    state: fields[0] ?? "",
    ppid: number(PPID),
    pgrp: number(PGRP),
    session: number(SESSION),
    tty: number(TTY),
    startTicks: number(START_TIME),
    utimeTicks: number(UTIME),
    stimeTicks: number(STIME),
    rssPages: number(RSS),
    exitStatus: fields[0] === "Z" && fields.length > EXIT_CODE ? number(EXIT_CODE) : null,
  };
  return Number.isSafeInteger(stat.pid) && Number.isSafeInteger(stat.startTicks) ? stat : null;
}

/** What observer needs of /proc/PID/status. */
export interface ProcessStatus {
  /** Real uid. */
  uid: number;
  effectiveUid: number;
  /** The pid in the process's own pid namespace; null on kernels before 4.1. */
  namespacePid: number | null;
}

/** Null for what is no such text. */
export function parseStatus(text: string): ProcessStatus | null {
  // The first line is the name, of which the kernel escapes newlines only: a `\r` in it must not begin a line.
  const lines = text.split("\n");
  const numbersOf = (name: string): number[] | undefined =>
    lines
      .find((line) => line.startsWith(`${name}:\t`))
      ?.split("\t")
      .slice(1)
      .map(Number);
  const [uid, effectiveUid] = numbersOf("Uid") ?? [];
  if (!Number.isSafeInteger(uid) || !Number.isSafeInteger(effectiveUid)) return null;
  return {
    uid: uid ?? 0,
    effectiveUid: effectiveUid ?? 0,
    namespacePid: numbersOf("NSpid")?.at(-1) ?? null,
  };
}

/** Strings that each end with a NUL. A last one without it is kept: a program may overwrite its own arguments. */
export function parseStrings(bytes: Buffer): string[] {
  const parts = bytes.toString("utf8").split("\0");
  if (parts.at(-1) === "") parts.pop();
  return parts;
}

/**
 * Variables by name. Of several with one name the first counts, as for getenv(3). `cut` says that the end is
 * missing: the last, which may be half a value, is dropped then.
 */
export function parseEnvironment(bytes: Buffer, cut: boolean): Map<string, string> {
  const entries = parseStrings(bytes);
  if (cut) entries.pop();
  const variables = new Map<string, string>();
  for (const entry of entries) {
    const equals = entry.indexOf("=");
    if (equals <= 0) continue;
    const name = entry.slice(0, equals);
    if (!variables.has(name)) variables.set(name, entry.slice(equals + 1));
  }
  return variables;
}
