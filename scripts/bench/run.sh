#!/bin/sh
# Measures dist/observer beside a server of the plain design; prints Markdown tables. BENCH_ROUNDS=5 rounds.
set -eu
cd "$(dirname "$0")/../.."
sh scripts/build.sh
. scripts/bun.sh
exec bun scripts/bench/run.ts
