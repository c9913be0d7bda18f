// struct inotify_event (linux/inotify.h): what one read of an inotify file gives, one after the other.

export interface InotifyEvent {
  /** Which watch; -1 when the queue overflowed. */
  wd: number;
  mask: number;
  /** The entry of a watched directory; empty for the watched file itself. */
  name: string;
}

// struct inotify_event { s32 wd; u32 mask; u32 cookie; u32 len; char name[len]; }
const HEADER_BYTES = 16;

/** Every whole event of a read. */
export function parseInotify(bytes: Uint8Array): InotifyEvent[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const events: InotifyEvent[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.length;) {
    const length = view.getUint32(at + 12, true);
    const end = at + HEADER_BYTES + length;
    if (end > bytes.length) break;
    const padded = bytes.subarray(at + HEADER_BYTES, end);
    const nul = padded.indexOf(0);
    const name = new TextDecoder().decode(nul < 0 ? padded : padded.subarray(0, nul));
    events.push({ wd: view.getInt32(at, true), mask: view.getUint32(at + 4, true), name });
    at = end;
  }
  return events;
}
