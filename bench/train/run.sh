#!/usr/bin/env bash
# A training step of the baseline: Ferrotype and PyTorch (best of eager and channels-last), interleaved.
# Usage: bench/train/run.sh [SIDE] [BATCH] [ROUNDS]; see bench/README.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
side=${1:-64}
batch=${2:-32}
rounds=${3:-5}
python=${BENCH_PYTHON:-bench/.venv/bin/python}
cargo bench --quiet -p ferrotype-engine --bench train_step --no-run
results=$(mktemp)
for _ in $(seq "$rounds"); do
  cargo bench --quiet -p ferrotype-engine --bench train_step -- "$side" "$batch" | awk '/step/ {print "ferrotype", $3}' | sed 's/ms$//' >>"$results"
  "$python" bench/train/pytorch_baseline.py --size "$side" --batch "$batch" |
    awk -v batch="$batch" '{best = $3 > $5 ? $3 : $5; print "pytorch", batch / best * 1000}' >>"$results"
done
python3 - "$results" "$side" "$batch" <<'PY'
import statistics, sys
rows = {}
for line in open(sys.argv[1]):
    name, milliseconds = line.split()
    rows.setdefault(name, []).append(float(milliseconds))
side, batch = sys.argv[2:]
medians = {name: statistics.median(values) for name, values in rows.items()}
for name, median in medians.items():
    print(f"{name:10} {side} px, batch {batch}: {median:7.1f} ms a step, {int(batch) / median * 1000:6.0f} images/s")
print(f"ratio {medians['pytorch'] / medians['ferrotype']:.2f} (above 1: Ferrotype is faster)")
PY
