#!/usr/bin/env bash
# Time of a training step beside PyTorch, on this machine, as a Markdown table.
#
#   scripts/bench.sh [--rounds 5] [--threads "1 2"] [--seconds 2] [--keep LINES.jsonl]
#
# The two sides take turns, a round each, so that a busy machine slows both. The first run installs PyTorch from PyPI
# into a cache folder; AELAB_BENCH_PYTHON names a Python that has it. Nothing else should be running.
set -euo pipefail
cd "$(dirname "$0")/.."

pytorch_version=2.15.0
rounds=5 threads="1 2" seconds=2 keep=
while [ $# -gt 0 ]; do
    [ $# -gt 1 ] || { echo "bench.sh: $1 needs a value" >&2; exit 2; }
    case $1 in
        --rounds) rounds=$2 ;;
        --threads) threads=$2 ;;
        --seconds) seconds=$2 ;;
        --keep) keep=$2 ;;
        *) echo "bench.sh: unknown option $1; known are --rounds, --threads, --seconds, --keep" >&2; exit 2 ;;
    esac
    shift 2
done

python=${AELAB_BENCH_PYTHON:-}
if [ -z "$python" ]; then
    folder=${XDG_CACHE_HOME:-$HOME/.cache}/aelab/pytorch
    python=$folder/bin/python
    if ! "$python" -c "import torch; assert torch.__version__.split('+')[0] == '$pytorch_version'" 2>/dev/null; then
        echo "installing PyTorch $pytorch_version into $folder" >&2
        python3 -m venv "$folder"
        "$python" -m pip install --quiet "torch==$pytorch_version" >&2
    fi
fi

# The whole workspace decides the features, so that nothing is built twice beside the tests.
"${CARGO:-cargo}" build --release --workspace --example step_time >&2
step_time=${CARGO_TARGET_DIR:-target}/release/examples/step_time

lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
for ((round = 1; round <= rounds; round++)); do
    for count in $threads; do
        echo "round $round of $rounds, $count thread(s)" >&2
        RAYON_NUM_THREADS=$count "$step_time" "$seconds" >>"$lines"
        "$python" scripts/bench/pytorch_step_time.py "$count" "$seconds" >>"$lines"
    done
done
[ -z "$keep" ] || cp "$lines" "$keep"

echo "Milliseconds per step (batch 128, single precision): median of $rounds rounds (smallest-largest)."
echo "Processor: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1 || true), $(getconf _NPROCESSORS_ONLN) cores; PyTorch $("$python" -c 'import torch; print(torch.__version__)'); commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)."
echo
"$python" scripts/bench/table.py "$lines"
