// What a list is asked for, and how a page of it is answered; shared by every table that is listed.

/** One page request. Filters are (field, value) as the API shows the field; a field that is not one is refused. */
export interface ListQuery {
  /** 1 to 1,000. */
  limit: number;
  /** Opaque; the `nextCursor` of the page before. */
  cursor?: string;
  /** Inclusive bounds of the row's own time, milliseconds since the epoch. */
  sinceMs?: number;
  untilMs?: number;
  filters: Record<string, string>;
}

/** Newest first. A page may be short and still have a next one: a scan over much data is cut by time. */
export interface Page<T> {
  items: T[];
  nextCursor: string | null;
}
