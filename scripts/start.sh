#!/bin/sh
# Builds observer if need be and starts it with the given flags, e.g. `sh scripts/start.sh --port 3800`.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
sh "$here/scripts/build.sh"
# From where the caller stands, so that relative flags mean what they say.
exec "$here/dist/observer" serve "$@"
