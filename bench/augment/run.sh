#!/usr/bin/env bash
# Random changes to images beside Albumentations with OpenCV, both on one thread of the same run, in
# turns: bench/augment/run.sh [ROUNDS] [SECONDS A CASE]. BENCH_PYTHON names the peers' interpreter,
# PREFIX what is put before each program, such as "chrt -f 10". Ratios are medians of the rounds'.
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-3} seconds=${2:-0.1} python=${BENCH_PYTHON:-bench/.venv/bin/python}
nice cargo build -q --profile ci -p ferrotype-vision --example augment
ours=$(mktemp) theirs=$(mktemp)
trap 'rm -f "$ours" "$theirs"' EXIT
for _ in $(seq "$rounds"); do
    ${PREFIX:-} target/ci/examples/augment "$seconds" >>"$ours"
    ${PREFIX:-} "$python" bench/augment/albumentations_peer.py "$seconds" >>"$theirs"
done
"$python" - "$ours" "$theirs" <<'PYTHON'
import statistics
import sys

def read(path):
    cases = {}
    for line in open(path):
        name, rate = line.rstrip().split("\t")
        cases.setdefault(name, []).append(float(rate))
    return cases

ours, theirs = map(read, sys.argv[1:])
median = statistics.median
print(f"{'':22}{'Ferrotype/s':>12}{'Albument./s':>12}{'ratio':>7}{'least':>7}")
for name, rates in ours.items():
    peers = theirs.get(name, [])
    ratios = [own / peer for own, peer in zip(rates, peers)]
    print(f"{name:22}{median(rates):12.0f}"
          + (f"{median(peers):12.0f}{median(ratios):7.2f}{min(ratios):7.2f}" if peers else ""))
PYTHON
