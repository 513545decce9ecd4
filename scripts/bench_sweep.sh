#!/usr/bin/env bash
# A sweep of 24 trials on Fashion-MNIST in aelab and in PyTorch under Hydra's joblib launcher: trials per hour of each.
#
#   scripts/bench_sweep.sh [--epochs 5] [--rounds 3] [--jobs N] [--torch-threads 1 2] [--complete] [--keep LINES.jsonl]
#
# Whole processes, from start to summary; the two sides take turns. The first run installs PyTorch and Hydra from PyPI into
# a cache folder; AELAB_BENCH_PYTHON names a Python that has them. Fashion-MNIST has to be there (aelab data fetch
# fashion_mnist). Nothing else should be running.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${AELAB_BENCH_PYTHON:-}
if [ -z "$python" ]; then
    folder=${XDG_CACHE_HOME:-$HOME/.cache}/aelab/pytorch
    python=$folder/bin/python
    if ! "$python" -c "import torch, hydra, hydra_plugins.hydra_joblib_launcher; assert torch.__version__.split('+')[0] == '2.15.0'" 2>/dev/null; then
        echo "installing PyTorch and Hydra into $folder" >&2
        python3 -m venv "$folder"
        "$python" -m pip install --quiet torch==2.15.0 numpy hydra-core==1.3.8 hydra-joblib-launcher==1.2.0 >&2
    fi
fi
aelab=${AELAB_BENCH_PROGRAM:-}
if [ -z "$aelab" ]; then
    "${CARGO:-cargo}" build --release --workspace >&2
    aelab=${CARGO_TARGET_DIR:-target}/release/aelab
fi
"$aelab" data verify fashion_mnist >&2
exec "$python" scripts/bench/sweep.py --aelab "$aelab" --python "$python" "$@"
