#!/usr/bin/env bash
# Score whatever ffmpeg can read, and framescore's own sources cannot: HLS, SRT, 10-bit video, ...
#
#   examples/ffmpeg_pipe.sh INPUT [options of framescore score]
#
# y4m carries size, rate and colour range, so nothing has to be declared. ffmpeg thins the video out
# to 2 frames a second; scale nothing, quality is judged at native resolution.
set -euo pipefail

if (($# < 1)); then
  sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
input=$1
shift

if ! command -v ffmpeg >/dev/null; then
  echo "error: ffmpeg was not found; install it (Debian, Ubuntu: apt install ffmpeg)." >&2
  exit 1
fi
ffmpeg -nostdin -loglevel error -i "$input" -vf fps=2 -pix_fmt yuv420p -f yuv4mpegpipe - |
  framescore score - "$@"
