#!/usr/bin/env bash
# Sets up the Node half of the interop bench: the npm packages, mediasoup's C++ worker, and a browser.
#
# Safe to call before every run, from any number of processes and clones at once: only the first call pays (about two
# minutes), later ones return within milliseconds. What is built lies outside the clone, so a fresh clone does not pay
# again. CHROMIUM names another browser than Debian's; then none is installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

key=$(cat package-lock.json setup.sh | sha256sum | cut -c 1-16)
root=${XDG_CACHE_HOME:-$HOME/.cache}/mediasoup-producer-interop
done=$root/$key          # appears by a rename, complete or not at all
partial=$root/$key.partial
log=$root/$key.log

main() {
    node_20
    need openssl openssl
    # For the tests' `legacy-dtls`.
    need pkg-config pkg-config
    pkg-config --exists openssl || install libssl-dev
    [ -n "${CHROMIUM:-}" ] || need chromium chromium
    mkdir -p "$root"
    if [ ! -d "$done" ] || [ "$(readlink node_modules)" != "$done/node_modules" ]; then
        exec 9>"$root/$key.lock"
        flock 9
        [ -d "$done" ] || build
        # -T: a real node_modules in the way is an error, not a place to put the link in.
        ln -sfnT "$done/node_modules" node_modules
    fi
}

build() {
    need python3 python3
    need make make
    need g++ g++
    echo "setting up the interop bench, once; log: $log" >&2
    rm -rf "$partial"
    mkdir "$partial"
    cp package.json package-lock.json "$partial"
    trap 'tail -n 40 "$log" >&2' EXIT
    # Not as the condition of an `if`: that would switch off `set -e` inside.
    (cd "$partial"; packages; worker) >"$log" 2>&1 </dev/null
    trap - EXIT
    mv "$partial" "$done"
}

packages() {
    # Without scripts: mediasoup's would build the worker with Python 2, others would download binaries nobody uses.
    npm ci --ignore-scripts --no-audit --no-fund
}

# mediasoup brings a gyp for Python 2 only; the one inside npm reads the same files. The variables are those that
# mediasoup's own scripts/configure.py would pass.
worker() {
    local gyp arch version
    gyp=$(node -p 'require("path").dirname(require.resolve("node-gyp/package.json", { paths: [process.argv[1]] }))' \
        "$(dirname "$(realpath "$(command -v npm)")")")/gyp/gyp_main.py
    arch=$(node -p process.arch)
    IFS=. read -ra version < <(g++ -dumpfullversion)
    cd node_modules/mediasoup/worker
    python3 "$gyp" -R mediasoup-worker mediasoup-worker.gyp -I common.gypi --depth=. -f make \
        -Goutput_dir="$PWD/out" --generator-output "$PWD/out" \
        -Dgcc_version="${version[0]}${version[1]}" -Dclang=0 -Dhost_arch="$arch" -Dtarget_arch="$arch" \
        -Dopenssl_fips= -Dmediasoup_asan=false -Dnode_byteorder=little
    nice make -j2 BUILDTYPE=Release -C out
    # Only the program is wanted from here on; sources and objects are ten times its size.
    mv out/Release/mediasoup-worker ..
    rm -rf ./*
    mkdir -p out/Release
    mv ../mediasoup-worker out/Release/
}

# Not from Debian 12, whose Node is 18.
node_20() {
    local version
    version=$(node -p 'parseInt(process.versions.node)' 2>/dev/null || echo 0)
    if [ "$version" -lt 20 ] || ! command -v npm >/dev/null; then
        echo "Node 20 or newer with npm is wanted: install it from https://nodejs.org/en/download" >&2
        exit 1
    fi
}

# need COMMAND PACKAGE
need() {
    command -v "$1" >/dev/null || install "$2"
}

install() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "$1 is missing: install it (Debian: apt-get install $1)" >&2
        exit 1
    fi
    apt_install "$1" || { apt-get update >&2 && apt_install "$1"; }
}

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "$1" >&2
}

main
