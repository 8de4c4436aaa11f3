#!/usr/bin/env bash
#
# Makes the bundled clip, into the folder this script lies in:
#
#   low.ivf     VP8, 160x90,  30 fps, 150 frames
#   medium.ivf  VP8, 320x180, 30 fps, 150 frames
#   high.ivf    VP8, 640x360, 30 fps, 150 frames
#   beat.opus   Ogg Opus, 48 kHz, mono, 250 packets of 20 ms
#
# Each lasts 5 s exactly and is made to be played in a loop. The three pictures
# are scaled from one, so frame n of each layer shows the same moment.
#
# Needs: bash, ffmpeg and ffprobe (made with 5.1) with libvpx, libopus and
# libfreetype, and the font DejaVu Sans Mono Bold (Debian: fonts-dejavu-core;
# name another file in FONT). Takes about a minute. Run twice on one machine,
# it writes the same bytes; another version of ffmpeg, libvpx or libopus may
# write others.
#
# The picture
#
#   A ball bounces over a slowly turning colour gradient and touches the floor
#   on each beat (every 15 frames); a lamp at the top right is lit for the
#   first 4 frames of each beat, larger on the first beat of the loop. Below
#   stands the frame number, "frame 000 / 150" to "frame 149 / 150". Frame 0
#   follows frame 149 seamlessly.
#
# The code strip
#
#   Along the bottom edge runs the frame number once more, for a program to
#   read. The strip is the lowest 1/9 of the picture, over its whole width, cut
#   into ten blocks, each 1/10 of the width (16x10 pixels in low.ivf):
#
#     block    0      1    2    3    4    5    6    7    8    9
#     is       white  128  64   32   16   8    4    2    1    black
#
#   Blocks 1 to 8 are the bits of the frame number (0 to 149), the highest
#   first; white is 1, black is 0. Blocks 0 and 9 are always white and always
#   black: they say where the middle between the two lies, and that there is a
#   picture at all. The centre of block i is at
#
#     x = (i + 0.5) / 10 of the width,    y = 17 / 18 of the height.
#
# The stream
#
#   A key frame first and then every 30 frames (1 s). No frame is hidden
#   (no alt-ref) and none is dropped, so packet n is the frame shown at n/30 s.
#
# The sound
#
#   A short tone every 0.5 s, an octave higher on the first beat of the loop.
#   The Ogg stream has a pre-skip of 312 samples; the sound is cut by as many,
#   so that packets and loop end together: 250 x 20 ms = 5 s.

set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"

FONT=${FONT:-/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf}
LIMIT=1000000 # bytes, all files together

fail() {
    echo "make.sh: $*" >&2
    exit 1
}

[ -r "$FONT" ] || fail "no font at $FONT (set FONT)"
for tool in ffmpeg ffprobe; do
    command -v "$tool" >/dev/null || fail "$tool not found"
done

# Where things stand, x and y each from 0 to 1; 16/9 makes a circle round.
BALL="hypot((X/W-0.5-0.3*sin(2*PI*N/150))*16/9,Y/H-0.47+0.33*abs(sin(PI*N/15)))"
LAMP="hypot((X/W-0.92)*16/9,Y/H-0.14)"
LAMP_SIZE="if(lt(N,4),0.11,0.07)"
LIT="lt(mod(N,15),4)"

# How bright (16 to 235): strip, lamp, ball, floor, sky, whichever comes first.
LUMA="
  if(gte(Y/H,8/9),
    st(1,floor(X*10/W));
    if(eq(ld(1),0),235,if(eq(ld(1),9),16,
      16+219*mod(floor(N/pow(2,8-ld(1))),2))),
  if(lt($LAMP,$LAMP_SIZE),if($LIT,235,40),
  st(0,$BALL);
  if(lt(ld(0),0.11),
    235-5000*ld(0)*ld(0),
  if(gte(Y/H,0.58),
    34+20*Y/H,
    95+45*sin(2*PI*(X/W+0.4*Y/H-N/150))
  ))))"
# Which colour (16 to 240, 128 is grey): blue and red.
colour() { # ball, wave
    echo "
  if(gte(Y/H,8/9),128,
  if(lt($LAMP,$LAMP_SIZE),128,
  if(lt($BALL,0.11),$1,
  if(gte(Y/H,0.58),128+0.3*($2),128+($2)))))"
}
BLUE=$(colour 60 "50*cos(2*PI*(0.7*X/W+0.2*Y/H-N/150))")
RED=$(colour 185 "50*sin(2*PI*(0.5*X/W-0.3*Y/H+N/150))")

flat() { tr -d ' \n' <<<"$1"; }

# Drawn at twice the size of the largest layer: edges come out smooth.
PICTURE="color=c=black:s=1280x720:r=30:d=5,format=yuv420p"
PICTURE+=",geq=lum='$(flat "$LUMA")':cb='$(flat "$BLUE")':cr='$(flat "$RED")'"
PICTURE+=",drawtext=fontfile='$FONT':fontsize=132:fontcolor=white"
PICTURE+=":x=(w-text_w)/2:y=h*0.735-ascent/2+8"
PICTURE+=":text='frame %{eif\:n\:d\:3} / 150'"

EXACT=(-map_metadata -1 -fflags +bitexact -flags:v +bitexact -flags:a +bitexact)

vp8() { # rate in kbit/s, file
    echo -c:v libvpx -b:v "$1k" -minrate "$1k" -maxrate "$1k" -bufsize "$(($1 * 2))k" \
        -undershoot-pct 100 -drop-threshold 0 -qmin 4 -qmax 56 \
        -g 30 -keyint_min 30 -auto-alt-ref 0 -lag-in-frames 0 \
        -deadline good -cpu-used 0 -threads 1 "${EXACT[@]}" -f ivf "$2"
}

# shellcheck disable=SC2046 # vp8 gives words without blanks
ffmpeg -hide_banner -loglevel error -y -nostdin \
    -sws_flags area+accurate_rnd+bitexact \
    -filter_complex "$PICTURE,split=3[a][b][c];[a]scale=160:90[low];[b]scale=320:180[medium];[c]scale=640:360[high]" \
    -map '[low]' $(vp8 80 low.ivf) \
    -map '[medium]' $(vp8 250 medium.ivf) \
    -map '[high]' $(vp8 850 high.ivf)

# ld(0) is the time since the beat. 239688 = 5 s less the pre-skip.
SOUND="st(0,mod(t,0.5));0.5*min(1,ld(0)/0.002)*exp(-28*ld(0))*sin(2*PI*if(lt(t,0.5),1320,660)*ld(0))"
ffmpeg -hide_banner -loglevel error -y -nostdin \
    -filter_complex "aevalsrc='$SOUND':s=48000:c=mono:d=5,atrim=end_sample=239688[beat]" \
    -map '[beat]' -c:a libopus -b:a 24k -vbr on -application audio -frame_duration 20 \
    "${EXACT[@]}" -f ogg beat.opus

# What was asked for is what came out?
packets() { ffprobe -v error -count_packets -show_entries stream=nb_read_packets -of csv=p=0 "$1"; }
keys() {
    ffprobe -v error -show_entries packet=flags -of csv=p=0 "$1" |
        awk '/K/ { printf "%s%d", sep, NR - 1; sep = " " }'
}
for layer in low medium high; do
    [ "$(packets "$layer.ivf")" = 150 ] || fail "$layer.ivf has not 150 frames"
    [ "$(keys "$layer.ivf")" = "0 30 60 90 120" ] || fail "$layer.ivf: key frames at $(keys "$layer.ivf")"
done
[ "$(packets beat.opus)" = 250 ] || fail "beat.opus has $(packets beat.opus) packets, not 250"

wc -c low.ivf medium.ivf high.ivf beat.opus
TOTAL=$(cat low.ivf medium.ivf high.ivf beat.opus | wc -c)
[ "$TOTAL" -lt "$LIMIT" ] || fail "$TOTAL bytes together, $LIMIT or more"
