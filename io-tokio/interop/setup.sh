#!/usr/bin/env bash
# Sets up the Node half of the interop bench: the npm packages and mediasoup's C++ worker, for v2 (this folder) and for v3
# (the folder v3), and a browser.
#
# Safe to call before every run, from any number of processes and clones at once: only the first call pays (about two
# minutes for v2, six for v3), later ones return within milliseconds. What is built lies outside the clone, so a fresh
# clone does not pay again. CHROMIUM names another browser than Debian's; then none is installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

root=${XDG_CACHE_HOME:-$HOME/.cache}/mediasoup-producer-interop

main() {
    node_20
    need openssl openssl
    # For the tests' `legacy-dtls`.
    need pkg-config pkg-config
    library openssl libssl-dev
    [ -n "${CHROMIUM:-}" ] || need chromium chromium
    mkdir -p "$root"
    modules .
    modules v3
}

# modules FOLDER: its node_modules, a link to what its package-lock.json and its worker.sh say.
modules() {
    local key done
    key=$(sources "$1" | sha256sum | cut -c 1-16)
    done=$root/$key          # appears by a rename, complete or not at all
    if [ ! -d "$done" ] || [ "$(readlink "$1/node_modules")" != "$done/node_modules" ]; then
        exec 9>"$root/$key.lock"
        flock 9
        [ -d "$done" ] || (build "$PWD/$1" "$done")
        # -T: a real node_modules in the way is an error, not a place to put the link in.
        ln -sfnT "$done/node_modules" "$1/node_modules"
        exec 9>&-
    fi
}

# sources FOLDER: what decides what is built.
sources() {
    cat "$1/package-lock.json" "$1/worker.sh"
    if [ -d "$1/worker" ]; then find "$1/worker" -type f -print0 | LC_ALL=C sort -z | xargs -0 cat; fi
}

# build FOLDER DONE
build() {
    local folder=$1 partial=$2.partial log=$2.log
    # shellcheck source=worker.sh
    . "$folder/worker.sh"
    requirements
    echo "setting up the interop bench in $folder, once; log: $log" >&2
    # What is there of an earlier try is gone on with.
    mkdir -p "$partial"
    cp "$folder/package.json" "$folder/package-lock.json" "$partial"
    trap 'tail -n 40 "$log" >&2' EXIT
    # Not as the condition of an `if`: that would switch off `set -e` inside.
    (cd "$partial"; packages; worker "$folder") >"$log" 2>&1 </dev/null
    trap - EXIT
    mv "$partial" "$2"
}

packages() {
    # Without scripts: mediasoup's would build the worker with Python 2 or download it, others would download binaries
    # nobody uses.
    npm ci --ignore-scripts --no-audit --no-fund
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

# library NAME PACKAGE, by the name pkg-config knows it by.
library() {
    pkg-config --exists "$1" || install "$2"
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
