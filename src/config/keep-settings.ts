// Settings of how long checkpoints are kept, and of reading them back.

import { duration, GIB, integer, KIB, MIB, size } from "./definition.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const YEARS_MS = 3_650 * DAY_MS;
/** A timer cannot wait for longer than 24 days. */
const WEEK_MS = 7 * DAY_MS;

/** Part of `SETTINGS`; docs/checkpoints.md says how they work together. */
export const KEEP_SETTINGS = {
  "checkpoints.keep_count": integer(
    100,
    1,
    100_000,
    "Most checkpoints of one workspace; pinned ones and safety copies do not count.",
  ),
  "checkpoints.keep_all_ms": duration(
    HOUR_MS,
    0,
    YEARS_MS,
    "Automatic checkpoints younger than this are all kept.",
  ),
  "checkpoints.keep_hourly_ms": duration(
    DAY_MS,
    0,
    YEARS_MS,
    "Of automatic ones younger than this, one an hour is kept.",
  ),
  "checkpoints.keep_daily_ms": duration(
    7 * DAY_MS,
    0,
    YEARS_MS,
    "Of automatic ones younger than this, one a day is kept; of older ones, one a week.",
  ),
  "checkpoints.keep_age_ms": duration(30 * DAY_MS, 0, YEARS_MS, "Older ones are removed."),
  "checkpoints.keep_safety_ms": duration(
    3 * DAY_MS,
    0,
    YEARS_MS,
    "Safety copies of restores that are older are removed.",
  ),
  "checkpoints.keep_store_bytes": size(
    10 * GIB,
    MIB,
    "Most that observer's own store may occupy; the oldest give way.",
  ),
  "checkpoints.keep_free_bytes": size(
    2 * GIB,
    0,
    "Free space that checkpoints leave: the oldest give way, then new ones are refused. The smaller of this and `checkpoints.keep_free_percent` counts.",
  ),
  "checkpoints.keep_free_percent": integer(
    5,
    0,
    100,
    "The same as a share of the file system; 100 makes `checkpoints.keep_free_bytes` count alone.",
  ),
  "checkpoints.scrub_ms": duration(
    6 * HOUR_MS,
    0,
    WEEK_MS,
    "Pause between two checkpoints that are read back by themselves; 0 reads none.",
  ),
  "checkpoints.scrub_bytes_per_s": size(
    16 * MIB,
    KIB,
    "How fast they are read at most, in bytes per second.",
  ),
} as const;
