#!/usr/bin/env bash
#
# Makes the clip's first two seconds (60 frames) in other codecs, from the program's bundled clip:
#
#   low.h264, medium.h264, high.h264   H.264 Constrained Baseline, 160x90, 320x180, 640x360, a key frame every second
#   vp9.ivf                            VP9, 320x180, the same
#
# Needs ffmpeg (made with 5.1) with libx264 and libvpx.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

from() { echo -hide_banner -loglevel error -y -nostdin -i "../../publish/clip/$1.ivf" -frames:v 60; }
EXACT=(-map_metadata -1 -fflags +bitexact -flags:v +bitexact)

for layer in low:60 medium:150 high:400; do
    # shellcheck disable=SC2046 # words without blanks
    ffmpeg $(from "${layer%:*}") -c:v libx264 -profile:v baseline -preset veryslow -b:v "${layer#*:}k" -maxrate "${layer#*:}k" \
        -bufsize "${layer#*:}k" -x264-params keyint=30:min-keyint=30:scenecut=0:repeat-headers=1:threads=1 \
        "${EXACT[@]}" -f h264 "${layer%:*}.h264"
done
# shellcheck disable=SC2046
ffmpeg $(from medium) -c:v libvpx-vp9 -b:v 150k -g 30 -keyint_min 30 -auto-alt-ref 0 -lag-in-frames 0 -deadline good \
    -cpu-used 1 -threads 1 "${EXACT[@]}" -f ivf vp9.ivf
wc -c ./*.h264 ./*.ivf
