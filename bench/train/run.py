"""Training steps of Ferrotype and PyTorch side by side, in one run, as a Markdown table.

    python bench/train/run.py --net all --pairs 9
    python bench/train/run.py --net resnet18 --pairs 9 --variants channels_last,fused eager,fused
    python bench/train/run.py --only pytorch --net vgg16 --pairs 3
    python bench/train/run.py --device cuda --net resnet18 vgg16        # both sides on the GPU

Each side is a process of its own that stays: Ferrotype (`crates/engine/benches/train_step`) and
PyTorch (`bench/train/peer.py`) in each variant (memory layout and implementation of AdamW). They take
turns: in each round every side runs one untimed step and then a few timed ones while the others sleep.
A turn counts as the median of its steps. The peer is the variant with the best median; the quartiles
of the ratio are those of the rounds' ratios.
"""

import argparse
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
NETS = ["small_cnn", "baseline", "resnet18", "vgg16", "mobilenet_v2"]
VARIANTS = ["eager,fused", "eager,foreach", "channels_last,fused", "channels_last,foreach"]
# How much processor time a side may use during the turns of the others before it is told of.
IDLE_SHARE = 0.02


class Side:
    """A process that runs steps on command."""

    def __init__(self, name, command, environment):
        self.name = name
        self.turns = []
        self.steps = []
        self.peak_mb = 0.0
        self.busy_seconds = 0.0
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment
        )
        self.about = self._answer("ready")

    def turn(self, steps):
        """One untimed step and then `steps` that count; answers the median of these in milliseconds."""
        before = self._processor_seconds()
        self.process.stdin.write(f"run {steps + 1}\n")
        self.process.stdin.flush()
        answer = self._answer("steps")
        self.busy_seconds += self._processor_seconds() - before
        self.peak_mb = answer["peak_mb"]
        timed = answer["milliseconds"][1:]
        self.steps += timed
        self.turns.append(statistics.median(timed))
        return self.turns[-1]

    def begin(self):
        """Forgets the turns so far: they warmed up."""
        self.turns, self.steps, self.busy_seconds = [], [], 0.0
        self.began_seconds = self._processor_seconds()

    def idle_seconds(self):
        """Processor time outside its own turns."""
        return self._processor_seconds() - self.began_seconds - self.busy_seconds

    def stop(self):
        self.process.stdin.close()
        self.process.wait()

    def _answer(self, event):
        for line in self.process.stdout:
            # Anything else on the standard output is a library's chatter.
            if line.startswith("{"):
                answer = json.loads(line)
                if answer["event"] == event:
                    return answer
                raise SystemExit(f"{self.name}: {answer}")
        raise SystemExit(f"{self.name} ended with {self.process.wait()}")

    def _processor_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def quartiles(values):
    """First quartile, median and third quartile."""
    if len(values) < 2:
        return values * 3
    return statistics.quantiles(values, n=4, method="inclusive")


def build_ferrotype(features):
    """Builds the bench and answers the path of its executable."""
    command = ["cargo", "bench", "-p", "ferrotype-engine", "--bench", "train_step", "--no-run"]
    command += ["--message-format=json-render-diagnostics"]
    if features:
        command += ["--features", features]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") == "train_step" and message.get("executable"):
            return message["executable"]
    raise SystemExit("cargo built no `train_step`")


def sides_of(net, arguments):
    """Starts the processes for `net`; each has warmed up when it is here."""
    prefix = ["chrt", "-f", "10"] if arguments.realtime else []
    extra = ["--clip", str(arguments.clip)] if arguments.clip is not None else []
    for option in ["side", "batch"]:
        if getattr(arguments, option) is not None:
            extra += [f"--{option}", str(getattr(arguments, option))]
    sides = []
    if arguments.only != "pytorch":
        threads = {"RAYON_NUM_THREADS": str(arguments.threads)}
        for executor in arguments.executors:
            command = [*prefix, arguments.binary, "--net", net, "--executor", executor, "--serve", *extra]
            name = "ferrotype" if executor == arguments.device else executor
            sides.append(Side(name, command, threads))
    if arguments.only != "ferrotype":
        peer = str(ROOT / "bench/train/peer.py")
        for variant in arguments.variants:
            layout, optimizer = variant.split(",")
            command = [*prefix, *shlex.split(arguments.python), peer, "--net", net]
            command += ["--layout", layout, "--optimizer", optimizer, "--threads", str(arguments.threads), *extra]
            command += ["--device", "cpu" if arguments.device == "cpu" else "cuda"]
            sides.append(Side(variant, command, {}))
    return sides


def measure(net, arguments):
    """The interleaved rounds of one net; answers what each side took."""
    sides = sides_of(net, arguments)
    try:
        steps = {}
        for side in sides:
            estimate = side.turn(1)
            steps[side.name] = max(1, min(20, round(arguments.turn_seconds * 1e3 / estimate)))
            side.begin()
        for _ in range(arguments.pairs):
            for side in sides:
                side.turn(steps[side.name])
        for side in sides:
            allowed = IDLE_SHARE * sum(other.busy_seconds for other in sides if other is not side)
            if len(sides) > 1 and side.idle_seconds() > max(allowed, 0.05):
                print(f"warning: {net}, {side.name}: {side.idle_seconds():.2f} s busy between its turns", file=sys.stderr)
        return [
            {
                "net": net,
                "name": side.name,
                "about": side.about,
                "turn_milliseconds": side.turns,
                "step_milliseconds": side.steps,
                "peak_mb": side.peak_mb,
            }
            for side in sides
        ]
    finally:
        for side in sides:
            side.stop()


def median_of(result):
    return statistics.median(result["turn_milliseconds"])


def in_words(result):
    first, median, third = quartiles(result["turn_milliseconds"])
    return f"{median:.1f} ({first:.1f}–{third:.1f})"


def compared(results):
    """The line of the table for one net."""
    about = results[0]["about"]
    ours = [result for result in results if result["name"] == "ferrotype"]
    peers = [result for result in results if "," in result["name"]]
    cells = [about["net"], f"{about['pixels']}, {about['batch']}"]
    cells.append(in_words(ours[0]) if ours else "–")
    peer = min(peers, key=median_of, default=None)
    cells.append(f"{in_words(peer)}; {peer['name']}" if peer else "–")
    if ours and peer:
        ratios = [theirs / mine for mine, theirs in zip(ours[0]["turn_milliseconds"], peer["turn_milliseconds"])]
        first, _, third = quartiles(ratios)
        cells.append(f"**{median_of(peer) / median_of(ours[0]):.2f}** ({first:.2f}–{third:.2f})")
        speed = ours[0]["about"]["flops_per_step"] / median_of(ours[0]) / 1e6
        cells.append(f"{speed:.0f}")
    else:
        cells += ["–", "–"]
    cells.append(f"{ours[0]['peak_mb']:.0f}" if ours else "–")
    cells.append(f"{peer['peak_mb']:.0f}" if peer else "–")
    cells.append(f"{ours[0]['peak_mb'] / peer['peak_mb']:.2f}" if ours and peer else "–")
    return "| " + " | ".join(cells) + " |"


HEAD = """| net | pixels, batch | Ferrotype ms | PyTorch ms; variant | ratio | GFLOP/s | MB | PyTorch MB | MB ratio |
|---|---|---|---|---|---|---|---|---|"""


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", nargs="+", default=["all"], help="names, or `all`")
    parser.add_argument("--pairs", type=int, default=9, help="rounds in which every side has one turn")
    parser.add_argument("--turn-seconds", type=float, default=0.5, help="timed steps of a turn are about so long")
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=VARIANTS)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda", "wgpu"], help="of both sides; PyTorch has no wgpu and takes cuda")
    parser.add_argument("--executors", nargs="+", choices=["cpu", "burn-cpu", "cuda", "wgpu"], help="absent: the device alone")
    parser.add_argument("--only", choices=["ferrotype", "pytorch"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", type=int, help="pixels, instead of the net's own")
    parser.add_argument("--batch", type=int, help="images, instead of the net's own")
    parser.add_argument("--clip", type=float, help="clip gradients to this norm on both sides; absent: neither")
    parser.add_argument("--realtime", action="store_true", help="first-in-first-out scheduling (root), if others compute")
    parser.add_argument("--binary", help="the built bench; absent: cargo builds it")
    parser.add_argument("--python", default=os.environ.get("BENCH_PYTHON", sys.executable), help="with PyTorch")
    parser.add_argument("--json", type=pathlib.Path, help="every turn and step is written there")
    arguments = parser.parse_args()
    if "all" in arguments.net:
        arguments.net = NETS
    arguments.executors = arguments.executors or [arguments.device]
    if arguments.binary is None and arguments.only != "pytorch":
        features = {"burn-cpu": "burn", "cuda": "cuda", "wgpu": "wgpu"}
        wanted = [features[executor] for executor in arguments.executors if executor in features]
        arguments.binary = build_ferrotype(",".join(wanted))
    return arguments


def main():
    arguments = options()
    everything, failed = [], False
    print(HEAD, flush=True)
    for net in arguments.net:
        try:
            results = measure(net, arguments)
        except SystemExit as problem:
            print(f"{net}: {problem}", file=sys.stderr)
            failed = True
            continue
        everything += results
        print(compared(results), flush=True)
    print("\nall sides: median (quartiles) in ms, peak MB")
    for result in everything:
        print(f"- {result['net']}, {result['name']}: {in_words(result)}, {result['peak_mb']:.0f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(everything, indent=1) + "\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
