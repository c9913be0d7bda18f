// struct epoll_event: packed to 12 bytes on x86-64, 16 bytes with the data at 8 everywhere else.

/** The numbers that the architectures disagree on. */
export interface EpollLayout {
  bytes: number;
  /** Offset of the 64-bit data that the kernel hands back. */
  dataAt: number;
}

/** `arch` as `process.arch` has it. */
export function epollLayout(arch: string): EpollLayout {
  return arch === "x64" ? { bytes: 12, dataAt: 4 } : { bytes: 16, dataAt: 8 };
}

/** What observer keeps in the data: which fd, and which watch of its table, exactly. */
export interface EpollTag {
  fd: number;
  /** The waiting thread reads this fd. */
  drain: boolean;
  slot: number;
  /** Of the slot; another one means that the event is of a watch that has ended. */
  generation: number;
}

export const SLOTS_MAX = 4_096;
export const GENERATIONS = 0x8_0000;

const DRAIN_BIT = 31;
const SLOT_SHIFT = 19;

/** The event as epoll_ctl takes it. Data: fd in the low 32 bits; drain (1), slot (12), generation (19) in the high ones. */
export function writeEpollEvent(layout: EpollLayout, events: number, tag: EpollTag): Uint8Array {
  const bytes = new Uint8Array(layout.bytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, events, true);
  view.setInt32(layout.dataAt, tag.fd, true);
  const high = ((tag.drain ? 1 : 0) << DRAIN_BIT) | (tag.slot << SLOT_SHIFT) | tag.generation;
  view.setInt32(layout.dataAt + 4, high, true);
  return bytes;
}

/** The event number `index` of those that epoll_wait wrote. */
export function readEpollEvent(
  layout: EpollLayout,
  view: DataView,
  index: number,
): EpollTag & { events: number } {
  const at = index * layout.bytes;
  const high = view.getInt32(at + layout.dataAt + 4, true);
  return {
    events: view.getUint32(at, true),
    fd: view.getInt32(at + layout.dataAt, true),
    drain: high < 0,
    slot: (high >>> SLOT_SHIFT) & (SLOTS_MAX - 1),
    generation: high & (GENERATIONS - 1),
  };
}
