// Messages of the proc connector (linux/cn_proc.h, linux/connector.h) and the socket filter that thins them out.

/** What happened to a process; threads are left out. */
export interface ProcEvent {
  /** `lost`: events are missing, so /proc must be looked at; it names no process. */
  what: "fork" | "exec" | "exit" | "coredump" | "lost";
  /** Of a fork the new process. As the kernel's first pid namespace counts. */
  pid: number;
  ppid?: number;
  /** Wait status. */
  exitStatus?: number;
  /** CLOCK_MONOTONIC. */
  atMs: number;
}

export const OP_LISTEN = 1;
export const OP_IGNORE = 2;

const WHAT_NONE = 0;
const WHAT_FORK = 1;
const WHAT_EXEC = 2;
const WHAT_COREDUMP = 0x4000_0000;
const WHAT_EXIT = 0x8000_0000;

// struct nlmsghdr { u32 len; u16 type, flags; u32 seq, pid; }, then
// struct cn_msg { u32 idx, val, seq, ack; u16 len, flags; }, then
// struct proc_event { u32 what, cpu; u64 timestamp_ns; union data; }.
const HEADER_BYTES = 16;
const EVENT_AT = HEADER_BYTES + 20;
const TIME_AT = EVENT_AT + 8;
const DATA_AT = EVENT_AT + 16;
// fork { parent_pid, parent_tgid, child_pid, child_tgid }; exec, coredump { pid, tgid, … };
// exit { pid, tgid, exit_code, exit_signal, parent_pid, parent_tgid }: u32 each, pid being the thread's.
const FORK_PARENT_TGID_AT = DATA_AT + 4;
const FORK_CHILD_PID_AT = DATA_AT + 8;
const FORK_CHILD_TGID_AT = DATA_AT + 12;
const PID_AT = DATA_AT;
const TGID_AT = DATA_AT + 4;
const EXIT_CODE_AT = DATA_AT + 8;
const EXIT_PARENT_TGID_AT = DATA_AT + 20;
const MESSAGE_BYTES_MIN = EXIT_PARENT_TGID_AT + 4;

const NLMSG_DONE = 3;
const CN_IDX_PROC = 1;
const CN_VAL_PROC = 1;
const NS_PER_MS = 1e6;

/** `sockaddr_nl` of the group that the connector sends to. */
export function procConnectorAddress(): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 16, true);
  view.setUint32(8, CN_IDX_PROC, true);
  return bytes;
}

/** The request to start or to stop sending. */
export function procConnectorRequest(operation: number): Uint8Array {
  const bytes = new Uint8Array(EVENT_AT + 4);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, NLMSG_DONE, true);
  view.setUint32(HEADER_BYTES, CN_IDX_PROC, true);
  view.setUint32(HEADER_BYTES + 4, CN_VAL_PROC, true);
  view.setUint16(HEADER_BYTES + 16, 4, true);
  view.setUint32(EVENT_AT, operation, true);
  return bytes;
}

/** Bytes of a message in a read at `at`; 0 when there is none. */
function messageLength(view: DataView, at: number): number {
  if (at + HEADER_BYTES > view.byteLength) return 0;
  const length = view.getUint32(at, true);
  return length < HEADER_BYTES || at + length > view.byteLength ? 0 : length;
}

function* messages(chunk: Uint8Array): Generator<DataView> {
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  for (let at = 0; ;) {
    const length = messageLength(view, at);
    if (length === 0) return;
    const message = new DataView(chunk.buffer, chunk.byteOffset + at, length);
    const ours =
      length >= TIME_AT + 8 &&
      message.getUint32(HEADER_BYTES, true) === CN_IDX_PROC &&
      message.getUint32(HEADER_BYTES + 4, true) === CN_VAL_PROC;
    if (ours) yield message;
    at += (length + 3) & ~3;
  }
}

/** The error number in the kernel's answer to a request, 0 for success; null when the read holds no answer. */
export function procConnectorAnswer(chunk: Uint8Array): number | null {
  for (const message of messages(chunk)) {
    if (message.getUint32(EVENT_AT, true) !== WHAT_NONE) continue;
    return message.byteLength >= DATA_AT + 4 ? message.getUint32(DATA_AT, true) : 0;
  }
  return null;
}

/**
 * The events of one read. An exit is of the main thread: of a process whose main thread ends before the others
 * it comes too early, so whoever relies on it looks whether the process is gone. It is sent after the parent is told, so
 * the parent may have reaped it, and may even have ended (then `ppid` is who inherited it), before it comes.
 */
export function parseProcEvents(chunk: Uint8Array): ProcEvent[] {
  const events: ProcEvent[] = [];
  for (const message of messages(chunk)) {
    const event = message.byteLength < MESSAGE_BYTES_MIN ? null : procEvent(message);
    if (event) events.push(event);
  }
  return events;
}

function procEvent(message: DataView): ProcEvent | null {
  const word = (at: number): number => message.getUint32(at, true);
  const atMs = Number(message.getBigUint64(TIME_AT, true)) / NS_PER_MS;
  switch (word(EVENT_AT)) {
    case WHAT_FORK: {
      const pid = word(FORK_CHILD_TGID_AT);
      if (word(FORK_CHILD_PID_AT) !== pid) return null;
      return { what: "fork", pid, ppid: word(FORK_PARENT_TGID_AT), atMs };
    }
    case WHAT_EXEC:
      return { what: "exec", pid: word(TGID_AT), atMs };
    case WHAT_COREDUMP:
      return { what: "coredump", pid: word(TGID_AT), atMs };
    case WHAT_EXIT: {
      const pid = word(TGID_AT);
      if (word(PID_AT) !== pid) return null;
      // Kernels before 4.18 send no parent.
      const ppid = word(EXIT_PARENT_TGID_AT);
      const parent = ppid === 0 ? {} : { ppid };
      return { what: "exit", pid, ...parent, exitStatus: word(EXIT_CODE_AT), atMs };
    }
    default:
      return null;
  }
}

// Classic BPF (linux/filter.h, linux/bpf_common.h).
const LOAD_WORD = 0x20;
const COPY_TO_X = 0x07;
const JUMP_EQUAL = 0x15;
const JUMP_EQUAL_X = 0x1d;
const RETURN = 0x06;
const INSTRUCTION_BYTES = 8;
const KEEP_ALL = 0xffff_ffff;

type Instruction = [code: number, ifTrue: number, ifFalse: number, constant: number];

// The filter machine loads words as the network orders them, the messages are little-endian.
function swapped(value: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, value, true);
  return view.getUint32(0);
}

/** Lets through answers, execs, core dumps, and forks and exits of processes but not of threads. */
export function processesOnlyFilter(): Uint8Array {
  const program: Instruction[] = [
    [LOAD_WORD, 0, 0, EVENT_AT],
    [JUMP_EQUAL, 4, 0, swapped(WHAT_FORK)],
    [JUMP_EQUAL, 7, 0, swapped(WHAT_EXIT)],
    [JUMP_EQUAL, 10, 0, swapped(WHAT_EXEC)],
    [JUMP_EQUAL, 9, 0, swapped(WHAT_COREDUMP)],
    [JUMP_EQUAL, 8, 9, swapped(WHAT_NONE)],
    [LOAD_WORD, 0, 0, FORK_CHILD_PID_AT],
    [COPY_TO_X, 0, 0, 0],
    [LOAD_WORD, 0, 0, FORK_CHILD_TGID_AT],
    [JUMP_EQUAL_X, 4, 5, 0],
    [LOAD_WORD, 0, 0, PID_AT],
    [COPY_TO_X, 0, 0, 0],
    [LOAD_WORD, 0, 0, TGID_AT],
    [JUMP_EQUAL_X, 0, 1, 0],
    [RETURN, 0, 0, KEEP_ALL],
    [RETURN, 0, 0, 0],
  ];
  const bytes = new Uint8Array(program.length * INSTRUCTION_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [index, [code, ifTrue, ifFalse, constant]] of program.entries()) {
    const at = index * INSTRUCTION_BYTES;
    view.setUint16(at, code, true);
    view.setUint8(at + 2, ifTrue);
    view.setUint8(at + 3, ifFalse);
    view.setUint32(at + 4, constant, true);
  }
  return bytes;
}

/** `struct sock_fprog { u16 len; struct sock_filter *filter; }` on 64-bit hosts. */
export function filterProgram(filter: Uint8Array, address: bigint): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, filter.length / INSTRUCTION_BYTES, true);
  view.setBigUint64(8, address, true);
  return bytes;
}
