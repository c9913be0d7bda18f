// The wait status of wait(2): how a process ended, in one number.

export interface WaitStatus {
  /** Null when a signal ended it. */
  exitCode: number | null;
  /** `SIGKILL`; null when it ended by itself. */
  signal: string | null;
  coreDumped: boolean;
}

// Numbers of x86-64 and arm64 (asm-generic/signal.h), from 1.
const SIGNALS =
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS".split(
    " ",
  );
/** As `kill -l` counts: the C library keeps 32 and 33 for itself. */
const RT_MIN = 34;
const RT_MAX = 64;

/** `SIGKILL` for 9, `SIGRTMIN+1` for 35; `SIG32` for a number without a name. */
export function signalName(number: number): string {
  const name = SIGNALS[number - 1];
  if (name !== undefined) return `SIG${name}`;
  if (number === RT_MIN) return "SIGRTMIN";
  if (number > RT_MIN && number <= RT_MAX) return `SIGRTMIN+${number - RT_MIN}`;
  return `SIG${number}`;
}

/** What a wait status says. A stopped or continued process is no death: the status must be of an ended one. */
export function decodeWaitStatus(status: number): WaitStatus {
  const signal = status & 0x7f;
  if (signal !== 0) {
    return { exitCode: null, signal: signalName(signal), coreDumped: (status & 0x80) !== 0 };
  }
  return { exitCode: (status >> 8) & 0xff, signal: null, coreDumped: false };
}
