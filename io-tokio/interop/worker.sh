# Sourced by setup.sh: how mediasoup 2's worker is built, in the folder where the npm packages are.

requirements() {
    need python3 python3
    need make make
    need g++ g++
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
