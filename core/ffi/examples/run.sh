#!/usr/bin/env bash
# Builds the library and `loop.c`, and has it publish the clip to the example `room`: linked statically, linked with the shared
# library, and under AddressSanitizer (with leaks) and UndefinedBehaviorSanitizer. Fails unless the room got all of it.
set -euo pipefail
cd "$(dirname "$0")/../../.."
: "${CC:=cc}" "${CXX:=c++}"

cargo build -q --lib --examples
built=${CARGO_TARGET_DIR:-target}/debug
ffi=core/ffi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

strict=(-std=c11 -Wall -Wextra -Wpedantic -Werror -g -I "$ffi/include" "$ffi/examples/loop.c")
static=("$built/libmediasoup_producer_ffi.a" -lpthread -ldl -lm)
"$CC" "${strict[@]}" "${static[@]}" -o "$work/static"
"$CC" "${strict[@]}" -L "$built" -lmediasoup_producer_ffi -Wl,-rpath,"$PWD/$built" -o "$work/shared"
"$CC" "${strict[@]}" -fsanitize=address,undefined -fno-sanitize-recover=all "${static[@]}" -o "$work/sanitized"
"$CXX" -std=c++17 -Wall -Wextra -Werror -fsyntax-only -x c++ "$ffi/include/mediasoup_producer.h"

programs=(static shared sanitized)
"$built/examples/room" --visitors ${#programs[@]} >"$work/room" &
room=$!
trap 'kill "$room" 2>/dev/null || true; rm -rf "$work"' EXIT
until [ -s "$work/room" ]; do
  kill -0 "$room"
  sleep 0.1
done
address=$(head -n 1 "$work/room")
for program in "${programs[@]}"; do
  echo "-- $program"
  ASAN_OPTIONS=detect_leaks=1 "$work/$program" io-tokio/publish/clip/high.ivf "$address" "${SECONDS_EACH:-3}"
done
wait "$room"
tail -n +2 "$work/room"
