"""ONNX Runtime on command: answers each line `run N` with the milliseconds of N runs, as JSON.

    python bench/infer/peer.py MODEL --side 224 --threads 1 --batch 1
"""

import argparse
import json
import resource
import sys
import time

import numpy
import onnxruntime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    arguments = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    options.inter_op_num_threads = 1
    before = time.perf_counter()
    session = onnxruntime.InferenceSession(arguments.model, options, providers=["CPUExecutionProvider"])
    load_ms = (time.perf_counter() - before) * 1e3
    shape = (arguments.batch, 3, arguments.side, arguments.side)
    image = numpy.random.default_rng(1).standard_normal(shape, dtype=numpy.float32)
    feed = {session.get_inputs()[0].name: image}
    print(json.dumps({"event": "ready", "runtime": f"ONNX Runtime {onnxruntime.__version__}", "load_ms": load_ms}), flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line.removeprefix("run "))):
            before = time.perf_counter()
            session.run(None, feed)
            times.append((time.perf_counter() - before) * 1e3)
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"event": "steps", "milliseconds": times, "peak_mb": peak_mb}), flush=True)


if __name__ == "__main__":
    main()
