#!/usr/bin/env bash
#
# Makes the small media files the tests read, into the folder this script lies
# in. Each holds 1 s: 30 frames of a test picture of 160x90, a key frame every
# 15 frames (0.5 s), or 50 packets of 20 ms of Opus (a tone, 48 kHz), or both.
#
#   vp8.ivf        VP8
#   vp9.ivf        VP9
#   h264.h264      H.264, Annex B, constrained baseline, 3 slices per frame
#   h265.h265      H.265, Annex B
#   vp8-opus.webm  VP8 and Opus
#   vp9-opus.mkv   VP9 and Opus
#   h264-opus.mkv  H.264 (stored with lengths, parameter sets in the header)
#                  and Opus
#   opus.webm      Opus
#   opus.ogg       Opus
#   h264-opus.mp4, h264-opus-fragmented.mp4, vp9-opus.mp4, h265.mp4   the same
#                  streams in MP4, one of them in fragments
#
# with pictures that are shown in another order than they are decoded in
# (B-frames, as x264 and x265 make them by default), 10 pictures of 64x36, one a second:
#
#   reordered.mkv    H.264
#   reordered.mp4    the same
#   reordered.h264   H.264, Annex B
#   reordered.h265   H.265, Annex B
#
# and, not to be played:
#
#   empty.ivf       0 bytes
#   truncated.ivf   vp8.ivf, cut in the middle of its 11th frame (ten are whole)
#   foreign.ivf     a text file
#   truncated.webm  vp8-opus.webm, cut in two thirds of its length
#
# Needs: bash, ffmpeg and ffprobe (made with 5.1) with libvpx, libopus, libx264
# and libx265. Run twice on one machine, it writes the same bytes; other
# versions may write others.

set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"

LIMIT=60000   # bytes, each file
TOTAL=500000  # bytes, all together

fail() {
    echo "make.sh: $*" >&2
    exit 1
}

for tool in ffmpeg ffprobe; do
    command -v "$tool" >/dev/null || fail "$tool not found"
done

PICTURE=(-f lavfi -i "testsrc2=s=160x90:r=30:d=1,format=yuv420p")
# 47688 = 1 s less the pre-skip of 312 samples: 50 packets.
SOUND=(-f lavfi -i "sine=frequency=440:sample_rate=48000,atrim=end_sample=47688")

EXACT=(-map_metadata -1 -fflags +bitexact -flags:v +bitexact -flags:a +bitexact)
VP8=(-c:v libvpx -b:v 150k -g 15 -keyint_min 15 -auto-alt-ref 0 -lag-in-frames 0
    -deadline good -cpu-used 0 -threads 1)
VP9=(-c:v libvpx-vp9 -b:v 150k -g 15 -keyint_min 15 -auto-alt-ref 0 -lag-in-frames 0
    -deadline good -cpu-used 1 -row-mt 0 -threads 1)
H264=(-c:v libx264 -profile:v baseline -level 3.1 -b:v 150k -g 15 -keyint_min 15 -sc_threshold 0
    -bf 0 -slices 3 -threads 1 -x264-params "sliced-threads=0:rc-lookahead=0:sync-lookahead=0")
H265=(-c:v libx265 -b:v 150k -preset fast
    -x265-params "log-level=error:keyint=15:min-keyint=15:scenecut=0:open-gop=0:bframes=0:repeat-headers=1:pools=none:frame-threads=1:wpp=0:info=0")
SLOW=(-f lavfi -i "testsrc2=s=64x36:r=1:d=10,format=yuv420p")
REORDERED264=(-c:v libx264 -b:v 4k -bf 3 -threads 1 -x264-params "sliced-threads=0:b-adapt=0:keyint=250")
REORDERED265=(-c:v libx265 -b:v 4k
    -x265-params "log-level=error:bframes=3:b-adapt=0:repeat-headers=1:pools=none:frame-threads=1:wpp=0:info=0")
OPUS=(-c:a libopus -b:a 32k -vbr on -application audio -frame_duration 20)

make() {
    ffmpeg -hide_banner -loglevel error -y -nostdin "$@"
}

make "${PICTURE[@]}" "${VP8[@]}" "${EXACT[@]}" -f ivf vp8.ivf
make "${PICTURE[@]}" "${VP9[@]}" "${EXACT[@]}" -f ivf vp9.ivf
make "${PICTURE[@]}" "${H264[@]}" "${EXACT[@]}" -f h264 h264.h264
make "${PICTURE[@]}" "${H265[@]}" "${EXACT[@]}" -f hevc h265.h265
make "${PICTURE[@]}" "${SOUND[@]}" "${VP8[@]}" "${OPUS[@]}" "${EXACT[@]}" -f webm vp8-opus.webm
make "${PICTURE[@]}" "${SOUND[@]}" "${VP9[@]}" "${OPUS[@]}" "${EXACT[@]}" -f matroska vp9-opus.mkv
make "${PICTURE[@]}" "${SOUND[@]}" "${H264[@]}" "${OPUS[@]}" "${EXACT[@]}" -f matroska h264-opus.mkv
make "${SLOW[@]}" "${REORDERED264[@]}" "${EXACT[@]}" -f matroska reordered.mkv
make "${SLOW[@]}" "${REORDERED264[@]}" "${EXACT[@]}" -f h264 reordered.h264
make "${SLOW[@]}" "${REORDERED265[@]}" "${EXACT[@]}" -f hevc reordered.h265
make "${SOUND[@]}" "${OPUS[@]}" "${EXACT[@]}" -f webm opus.webm
make "${SOUND[@]}" "${OPUS[@]}" "${EXACT[@]}" -f ogg opus.ogg
MP4=("${EXACT[@]}" -f mp4)
FRAGMENTED=(-movflags frag_keyframe+delay_moov+default_base_moof)
make "${PICTURE[@]}" "${SOUND[@]}" "${H264[@]}" "${OPUS[@]}" "${MP4[@]}" h264-opus.mp4
make "${PICTURE[@]}" "${SOUND[@]}" "${H264[@]}" "${OPUS[@]}" "${FRAGMENTED[@]}" "${MP4[@]}" h264-opus-fragmented.mp4
make "${PICTURE[@]}" "${SOUND[@]}" "${VP9[@]}" "${OPUS[@]}" "${MP4[@]}" vp9-opus.mp4
make "${PICTURE[@]}" "${H265[@]}" "${MP4[@]}" h265.mp4
make "${SLOW[@]}" "${REORDERED264[@]}" "${MP4[@]}" reordered.mp4

: >empty.ivf
# 200 bytes before the 12th frame: within the 11th.
cut=$(ffprobe -v error -show_entries packet=pos -of csv=p=0 vp8.ivf | awk 'NR == 12 { print $1 - 200 }')
head -c "$cut" vp8.ivf >truncated.ivf
printf 'This is a text file, and no IVF file at all, whatever it is called.\n' >foreign.ivf
head -c $(($(wc -c <vp8-opus.webm) * 2 / 3)) vp8-opus.webm >truncated.webm

# What was asked for is what came out?
packets() { # file, stream
    ffprobe -v error -count_packets -select_streams "$2" -show_entries stream=nb_read_packets \
        -of csv=p=0 "$1"
}
for file in vp8.ivf vp9.ivf h264.h264 h265.h265 vp8-opus.webm vp9-opus.mkv h264-opus.mkv \
    h264-opus.mp4 h264-opus-fragmented.mp4 vp9-opus.mp4 h265.mp4; do
    [ "$(packets "$file" v)" = 30 ] || fail "$file has $(packets "$file" v) frames, not 30"
done
for file in reordered.mkv reordered.mp4 reordered.h264 reordered.h265; do
    [ "$(packets "$file" v)" = 10 ] || fail "$file has $(packets "$file" v) frames, not 10"
    # A picture that is shown before the one decoded before it.
    kinds=$(ffprobe -v error -select_streams v -show_entries frame=pict_type -of csv=p=0 "$file")
    [[ $kinds == *B* ]] || fail "$file has no B-frames"
done
for file in vp8-opus.webm vp9-opus.mkv h264-opus.mkv opus.webm opus.ogg; do
    [ "$(packets "$file" a)" = 50 ] || fail "$file has $(packets "$file" a) packets of sound, not 50"
done

wc -c -- *.ivf *.h264 *.h265 *.webm *.mkv *.mp4 *.ogg
sum=0
for file in *.ivf *.h264 *.h265 *.webm *.mkv *.mp4 *.ogg; do
    size=$(wc -c <"$file")
    [ "$size" -lt "$LIMIT" ] || fail "$file: $size bytes, $LIMIT or more"
    sum=$((sum + size))
done
[ "$sum" -lt "$TOTAL" ] || fail "$sum bytes together, $TOTAL or more"
