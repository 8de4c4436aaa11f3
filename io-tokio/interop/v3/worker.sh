# Sourced by setup.sh: how mediasoup 3's worker is built, in the folder where the npm packages are.
#
# npm would download it ready-made from elsewhere, and its build the libraries that it needs. Here it is built from the npm
# package's own sources and Debian's libraries. Each folder in `worker/subprojects` stands in for a library that meson asks
# for by that name.

requirements() {
    need g++ g++
    need flatc flatbuffers-compiler
    # Some versions of the package do without it.
    library flatbuffers libflatbuffers-dev
    library absl_optional libabsl-dev
    library libsrtp2 libsrtp2-dev
    library libuv libuv1-dev
    python3 -c 'import ensurepip' 2>/dev/null || install python3-venv
}

# worker FOLDER: goes on where an earlier try ended.
worker() {
    # Debian's meson is too old.
    [ -x venv/bin/ninja ] || { python3 -m venv venv && venv/bin/pip install --quiet meson==1.12.0 ninja==1.13.2; }
    PATH=$PWD/venv/bin:$PATH
    if [ ! -d worker ]; then patched "$1"; mv worker.new worker; fi
    [ -f worker/build/build.ninja ] ||
        meson setup --wrap-mode nodownload --buildtype release -Doptimization=1 -Db_ndebug=true worker/build worker
    nice ninja -j2 -C worker/build mediasoup-worker
    mkdir -p node_modules/mediasoup/worker/out/Release
    strip -o node_modules/mediasoup/worker/out/Release/mediasoup-worker worker/build/mediasoup-worker
    # Only the program is wanted from here on.
    rm -rf worker venv
}

patched() {
    rm -rf worker.new
    cp -r node_modules/mediasoup/worker worker.new
    rm worker.new/subprojects/*.wrap
    cp -r "$1"/worker/subprojects/* worker.new/subprojects/
    # Most of a file's time goes into the headers that all include: they are read once.
    cp -r "$1/worker/pch" worker.new/
    sed -i "s|^  cpp_args: cpp_args + \['-DMS_EXECUTABLE'\],|  cpp_pch: 'pch/all.hpp',\n&|" worker.new/meson.build
    grep -q cpp_pch worker.new/meson.build
    # OpenSSL calls back for each BIO_ctrl, too, and takes the answer for the result. The worker always answers 1, so
    # Debian's OpenSSL, which has kTLS, believes that the kernel encrypts, allocates no buffer, and crashes at the first
    # ClientHello. It is the result itself that is to be answered.
    sed -i 's/(operationType == BIO_CB_RETURN) ?/(operationType \& BIO_CB_RETURN) ?/' worker.new/src/RTC/DtlsTransport.cpp
    grep -q '(operationType & BIO_CB_RETURN) ?' worker.new/src/RTC/DtlsTransport.cpp
}
