#!/usr/bin/env bash
# The paper's recipe on a GPU machine that has no network, at most 9 minutes:
#
#   benchmarks/gpu.sh WHEELS OUT [--small]
#
# WHEELS holds the packages of benchmarks/gpu_wheels.txt; they are installed into a temporary folder. OUT gets gpu.json,
# gpu.md and profile.txt. --small takes small shapes and few batches, for a rehearsal without a GPU.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: benchmarks/gpu.sh WHEELS OUT [--small]" >&2; exit 2; }
wheels=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
shift 2
cd "$(dirname "$0")/.."
start=$SECONDS
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${PYTHON:-python3}
"$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --disable-pip-version-check \
  --target "$work/site" "$wheels"/*.whl
export PYTHONPATH="$work/site:$PWD" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false EX2_CACHE="$work/cache"
"$python" benchmarks/gpu_step.py --out "$out" --scratch "$work" --seconds $((520 - SECONDS + start)) "$@"
