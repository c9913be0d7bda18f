// Runs random round trips in a process of its own, so that it can be another user's: round-trip.ts JSON-OF-OPTIONS.

import { runRoundTrips, type RoundTrips } from "../round-trips.ts";

runRoundTrips(JSON.parse(process.argv[2] ?? "") as RoundTrips);
