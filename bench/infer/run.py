"""Inference of Ferrotype and ONNX Runtime side by side, in one run, as a Markdown table.

    python tools/export_networks.py target/networks
    cargo build --release -p ferrotype-inference --example infer
    python bench/infer/run.py --networks target/networks --binary target/release/examples/infer

Each side is a process of its own that stays; they take turns. A turn is a few runs, of which the first
is not counted, and counts as their median. Ratios are ONNX Runtime's time by Ferrotype's, turn by turn;
above 1 Ferrotype is faster. ONNX Runtime has its default options besides the number of threads. Loading
is from the path to a network that is ready, on both sides.
"""

import argparse
import json
import pathlib
import signal
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIDES = {"small_cnn": 64, "yolov8n_shaped": 640}
WARM_UP_RUNS = 6
NETWORKS = ["small_cnn", "resnet18", "vgg16", "mobilenet_v2", "efficientnet_b0", "yolov8n_shaped"]


class Side:
    """A process that runs a network on command."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.turns = []
        self.about = json.loads(self.process.stdout.readline())
        self.peak_mb = 0.0

    def turn(self, runs):
        """The median of some runs behind one that is not counted, in milliseconds.

        Outside of its turns a side is stopped: threads that still look for work would take a core from the other.
        """
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(f"run {runs + 1}\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        self.process.send_signal(signal.SIGSTOP)
        self.peak_mb = answer["peak_mb"]
        return statistics.median(answer["milliseconds"][1:])

    def stop(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.close()
        self.process.wait()


def quartiles(values):
    return statistics.quantiles(values, n=4, method="inclusive")


def measure(name, threads, batch, arguments):
    prefix = ["chrt", "-f", "10"] if arguments.realtime else []
    model = str(arguments.networks / f"{name}.onnx")
    options = ["--side", str(SIDES.get(name, 224)), "--threads", str(threads), "--batch", str(batch)]
    ours = Side([*prefix, arguments.binary, model, *options, "--runtime", arguments.runtime, "--serve"])
    peer = Side([*prefix, arguments.python, str(ROOT / "bench/infer/peer.py"), model, *options])
    try:
        sides = [ours, peer]
        # Our first runs of a batch try which way is faster, the peer's fill its arena.
        slowest = max(side.turn(WARM_UP_RUNS) for side in sides)
        runs = max(1, min(50, round(arguments.turn_seconds * 1e3 / slowest)))
        turns = [[side.turn(runs) for side in sides] for _ in range(arguments.pairs)]
    finally:
        ours.stop()
        peer.stop()
    mine, theirs = (quartiles([turn[side] for turn in turns]) for side in (0, 1))
    ratio = quartiles([turn[1] / turn[0] for turn in turns])
    return (
        f"| {name} | {threads} | {batch} | {mine[1]:.2f} ({mine[0]:.2f}–{mine[2]:.2f}) "
        f"| {theirs[1]:.2f} ({theirs[0]:.2f}–{theirs[2]:.2f}) | **{ratio[1]:.2f}** ({ratio[0]:.2f}–{ratio[2]:.2f}) "
        f"| {ours.peak_mb:.0f} / {peer.peak_mb:.0f} | {ours.about['load_ms']:.0f} / {peer.about['load_ms']:.0f} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=pathlib.Path, default=ROOT / "target/networks")
    parser.add_argument("--binary", default=str(ROOT / "target/release/examples/infer"))
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--runtime", default="native")
    parser.add_argument("--only", nargs="*", default=NETWORKS)
    parser.add_argument("--threads", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--batches", nargs="*", type=int, default=[1, 8])
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--turn-seconds", type=float, default=0.3)
    parser.add_argument("--realtime", action="store_true", help="run with `chrt -f 10`, as root")
    arguments = parser.parse_args()
    print("| network | threads | batch | Ferrotype ms | ONNX Runtime ms | ratio (quartiles) | peak MB | load ms |")
    print("|---|---|---|---|---|---|---|---|")
    for name in arguments.only:
        for threads in arguments.threads:
            for batch in arguments.batches:
                print(measure(name, threads, batch, arguments), flush=True)


if __name__ == "__main__":
    main()
