#!/usr/bin/env bash
# Ferrotype and FastAPI + ONNX Runtime on the demo model, interleaved in one run; see bench/README.md.
# Usage: bench/serve/run.sh [SECONDS_PER_ROUND] [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-6}
rounds=${2:-5}
root=$PWD
python=${BENCH_PYTHON:-$root/bench/.venv/bin/python}
ferrotype=${FERROTYPE_BINARY:-$root/target/release/ferrotype}
work=${BENCH_WORK:-$(mktemp -d)}
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true' EXIT

cd "$work"
[ -e demo.onnx ] || { "$ferrotype" demo --no-serve >demo.log 2>&1; "$ferrotype" export demo@production -o demo.onnx >/dev/null; }
FERROTYPE_IMAGE=${FERROTYPE_IMAGE:-$PWD/$(find .ferrotype/demo -name '*.png' -print -quit)}
export FERROTYPE_IMAGE FERROTYPE_ONNX=$work/demo.onnx
library=$("$python" -c 'import glob, onnxruntime, os; print(glob.glob(os.path.join(os.path.dirname(onnxruntime.__file__), "capi", "libonnxruntime.so*"))[0])')

now_ms() { date +%s%3N; }
start() { # name port command…
  local name=$1 port=$2 began; shift 2
  began=$(now_ms)
  "$@" >"$name.log" 2>&1 & pids+=($!)
  until curl -fs -o /dev/null "http://127.0.0.1:$port/health/ready"; do
    kill -0 "${pids[-1]}" 2>/dev/null || { echo "$name did not start:" >&2; tail -5 "$name.log" >&2; exit 1; }
    sleep 0.005
  done
  printf '%-28s ready after %5d ms, resident %d MB\n' "$name" $(($(now_ms) - began)) \
    $(($(awk '/VmRSS/ {print $2}' "/proc/${pids[-1]}/status") / 1024))
}
start ferrotype-native 8102 "$ferrotype" serve --model demo@production --port 8102 --runtime native
start ferrotype-rten 8103 "$ferrotype" serve --model demo@production --port 8103 --runtime rten
start ferrotype-onnxruntime 8104 env ORT_DYLIB_PATH="$library" "$ferrotype" serve --model demo@production --port 8104 --runtime onnxruntime
start fastapi-onnxruntime 8101 "$python" -m uvicorn --app-dir "$root/bench/serve" fastapi_onnx:app --port 8101 --log-level warning

echo "image $(basename "$FERROTYPE_IMAGE"), $(stat -c %s "$FERROTYPE_IMAGE") bytes; $rounds rounds of $seconds s each, interleaved, median requests/s"
for clients in 1 8; do
  : >results.txt
  for _ in $(seq "$rounds"); do
    for peer in ferrotype-native:8102 ferrotype-rten:8103 ferrotype-onnxruntime:8104 fastapi-onnxruntime:8101; do
      line=$(wrk -t1 -c"$clients" -d"${seconds}s" --latency -s "$root/bench/serve/multipart.lua" "http://127.0.0.1:${peer#*:}/predict" | grep '^RESULT')
      echo "${peer%%:*} $line" >>results.txt
    done
  done
  python3 - "$clients" <<'PY'
import statistics, sys
rows = {}
for line in open("results.txt"):
    name, _, rate, p50, p99, errors = line.split()
    rows.setdefault(name, []).append((float(rate), float(p50), float(p99), int(errors)))
peer = statistics.median(row[0] for row in rows["fastapi-onnxruntime"])
for name, values in rows.items():
    rate, p50, p99 = (statistics.median(value[i] for value in values) for i in range(3))
    errors = sum(value[3] for value in values)
    print(f"{sys.argv[1]:>2} clients  {name:24} {rate:7.0f} requests/s  p50 {p50:6.2f} ms  p99 {p99:6.2f} ms  errors {errors}  ratio {rate / peer:.2f}")
PY
done
for index in "${!pids[@]}"; do
  printf 'resident after the load: %s MB\n' $(($(awk '/VmRSS/ {print $2}' "/proc/${pids[$index]}/status") / 1024))
done
