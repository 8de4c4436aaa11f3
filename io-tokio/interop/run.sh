#!/usr/bin/env bash
# Sets the bench up and runs all of it: the tests of the bench itself, ours against real mediasoup servers, v2 and v3, and a
# real browser, and once more without the feature `legacy-dtls`. Arguments go to the Rust tests: a name, `--nocapture`, ...
#
# INTEROP_FEATURES: `smol` has our side run on smol in place of tokio.
# INTEROP_ROUTERS, INTEROP_SEED: with how many routers our matching is compared with mediasoup-client's (1000), and which (1).
# INTEROP_SECONDS: how long the test of endurance sends (60; the full one is 600).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export RUST_BACKTRACE=${RUST_BACKTRACE:-0}

./setup.sh
for file in {.,v3}/*.mjs {.,v3}/pages/*.js; do node --check "$file"; done
node --test selftest.mjs v3/selftest.mjs
# The same selection of packages for both, and in CI, so that the crates below are built once.
packages=(--workspace --exclude mediasoup-producer-benches --exclude mediasoup-producer-bevy)
tests=()
for file in tests/*.rs tests/*/; do tests+=(--test "$(basename "$file" .rs)"); done
# Two at a time: each has a server, a worker and a browser of its own.
cargo test "${packages[@]}" "${tests[@]}" --features "${INTEROP_FEATURES:+mediasoup-interop/$INTEROP_FEATURES}" \
    --no-fail-fast -- --ignored --test-threads 2 "$@"
cargo test "${packages[@]}" --no-default-features --test certificates -- --ignored --test-threads 2 "$@"
