#!/usr/bin/env bash
# Fail a pipeline when a picture or clip is not good enough.
#
#   examples/gate_ci.sh THRESHOLD SOURCE... [options of framescore score]
#
# Clips are judged by their 5th percentile, which a few bad moments pull down and the mean hides.
# Scores stay in scores.jsonl, to look up which frames were bad. FP32, because thresholds should
# mean the same on every machine.
set -euo pipefail

if (($# < 2)); then
  sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
threshold=$1
shift

status=0
framescore score "$@" --precision fp32 --pool p5,mean,min --fail-under "$threshold" \
  --format jsonl --output scores.jsonl || status=$?

case $status in
  0) echo "quality gate passed: p5 is at least $threshold" ;;
  3) echo "quality gate failed: p5 is below $threshold; see scores.jsonl" >&2 ;;
  *) echo "quality gate could not judge: framescore ended with $status" >&2 ;;
esac
exit "$status"
