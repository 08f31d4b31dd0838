#!/usr/bin/env bash
# Trains on a synthetic set whose decoded images are larger than the memory the process may have
# (a control group's limit), and prints its peak. Needs root; see bench/README.md.
# Usage: bench/load/memory.sh BINARY [LIMIT_MB] [IMAGES]
set -euo pipefail
binary=$(realpath "$1")
limit_mb=${2:-400}
images=${3:-6000}
python=${BENCH_PYTHON:-bench/.venv/bin/python}
scratch=$(mktemp -d)
if [ -d /sys/fs/cgroup/memory ]; then
  group=/sys/fs/cgroup/memory/ferrotype-bench-$$
  limit=$group/memory.limit_in_bytes
else
  group=/sys/fs/cgroup/ferrotype-bench-$$
  limit=$group/memory.max
fi
mkdir "$group"
trap 'rmdir "$group"; rm -rf "$scratch"' EXIT
echo "$((limit_mb * 1000000))" >"$limit"

"$python" - "$scratch/set" "$images" <<'PY'
import sys
from pathlib import Path
import numpy as np
from PIL import Image

folder, count = Path(sys.argv[1]), int(sys.argv[2])
draw = np.random.default_rng(0)
for name in ("a", "b"):
    (folder / name).mkdir(parents=True)
for number in range(count):
    coarse = Image.fromarray(draw.integers(0, 256, (12, 16, 3), np.uint8))
    coarse.resize((512, 384), Image.Resampling.BICUBIC).save(folder / "ab"[number % 2] / f"{number:06}.jpg", quality=80)
PY
cd "$scratch"
touch ferrotype.yaml
"$binary" data import set --name set >/dev/null 2>&1
# Loaded at 224 pixels, trained at 32: the loading is what is measured.
cat >train.py <<'PY'
import os, resource, subprocess, sys

group, *command = sys.argv[1:]
def enter():
    with open(f"{group}/cgroup.procs", "w") as file:
        file.write(str(os.getpid()))
code = subprocess.call(command, preexec_fn=enter, stdout=subprocess.DEVNULL)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
print(f"exit {code}, peak of resident memory {peak:.0f} MB")
PY
decoded=$(("$images" * 224 * 224 * 3 / 1000000))
echo "$images images, $decoded MB decoded at 224 pixels; limit $limit_mb MB"
"$python" train.py "$group" "$binary" train data.dataset=set data.image_size=32 +data.cache_size=224 \
  train.epochs=2 train.batch_size=64 2>&1 | grep -E "epoch|exit|warning|error"
"$binary" data cache list
