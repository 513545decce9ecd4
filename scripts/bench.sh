#!/usr/bin/env bash
# Time of a training step beside PyTorch, on this machine, as a Markdown table.
#
#   scripts/bench.sh [--rounds 5] [--seconds 1] [--threads "2 1"] [--batch-sizes "32 128 1024"] [--only "vae rbm"]
#                    [--forms "eager compiled"] [--device cpu|cuda] [--keep LINES.jsonl] [--before STEP_TIME] [--write]
#   scripts/bench.sh --kept "LINES.jsonl MORE.jsonl" [--write]
#
# First both sides take 20 steps from the same parameters on the same data with the same noise, and their losses must agree.
# Then each row's sides take turns, a round each, so that a busy machine slows both. The whole table takes long, most of it to compile:
# nothing else should be running; what `--keep` keeps can be put together later with `--kept`. `--write` puts it into docs/src/performance.md;
# `--before` names the example step_time of an earlier version, as a third side. The first run installs PyTorch from PyPI
# into a cache folder; AELAB_BENCH_PYTHON names a Python that has it.
set -euo pipefail
cd "$(dirname "$0")/.."

pytorch_version=2.15.0
device=cpu
known="--rounds, --seconds, --threads, --batch-sizes, --only, --forms, --device, --keep, --kept, --before, --write"
arguments=()
while [ $# -gt 0 ]; do
    case $1 in
        --write) arguments+=(--markdown docs/src/performance.md); shift; continue ;;
        --rounds | --seconds | --threads | --batch-sizes | --only | --forms | --device | --keep | --kept | --before) ;;
        *) echo "bench.sh: unknown option $1; known are $known" >&2; exit 2 ;;
    esac
    [ $# -gt 1 ] || { echo "bench.sh: $1 needs a value" >&2; exit 2; }
    [ "$1" != --device ] || device=$2
    # Lists are one argument here and several there.
    case $1 in
        --threads | --batch-sizes | --only | --forms | --kept) read -ra values <<<"$2"; arguments+=("$1" "${values[@]}") ;;
        *) arguments+=("$1" "$2") ;;
    esac
    shift 2
done

python=${AELAB_BENCH_PYTHON:-}
if [ -z "$python" ]; then
    folder=${XDG_CACHE_HOME:-$HOME/.cache}/aelab/pytorch
    python=$folder/bin/python
    if ! "$python" -c "import numpy, torch; assert torch.__version__.split('+')[0] == '$pytorch_version'" 2>/dev/null; then
        echo "installing PyTorch $pytorch_version into $folder" >&2
        python3 -m venv "$folder"
        "$python" -m pip install --quiet numpy "torch==$pytorch_version" >&2
    fi
fi

# The whole workspace decides the features, so that nothing is built twice beside the tests.
features=()
[ "$device" = cpu ] || features=(--features aelab-cli/cuda)
"${CARGO:-cargo}" build --release --workspace --bins --example step_time --example record_steps "${features[@]}" >&2
built=${CARGO_TARGET_DIR:-target}/release

commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
exec "$python" scripts/bench/compare.py --aelab "$built/examples" --floor "$built/aelab" --commit "$commit" "${arguments[@]}"
