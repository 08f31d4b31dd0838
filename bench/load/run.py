"""Loading images: Ferrotype beside torchvision and Albumentations, taking turns.

    python bench/load/run.py [--rounds 9] [--threads 1 2] --binary NAME=PATH … [--set DIR --limit N]

Prints for each set and number of threads the images/s of every program (median and quartiles over the
rounds) and Ferrotype's ratio to each peer, taken round by round. Build first; see bench/README.md.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
PEERS = ["pillow_loop", "pillow_loader", "tensor_loop", "tensor_loader", "albumentations_loop", "albumentations_loader"]

parser = argparse.ArgumentParser()
parser.add_argument("--rounds", type=int, default=9)
parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
parser.add_argument("--binary", nargs="+", required=True, help="the load bench, as NAME=PATH")
parser.add_argument("--set", type=Path, default=Path("../shared/data/uc_merced"))
parser.add_argument("--limit", type=int, default=400, help="images of the set that are used")
parser.add_argument("--mosaics", type=int, default=96, help="images of 1024×768 that are made of the set's")
parser.add_argument("--prefix", default="", help="put before each program, such as chrt -f 10")
arguments = parser.parse_args()


def images_of(folder):
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    random.Random(0).shuffle(files)
    return files


def make_mosaics(files, folder):
    """Photographs of 1024×768: twelve of the set's images of 256×256 side by side, JPEG of quality 90."""
    chosen = random.Random(1)
    for number in range(arguments.mosaics):
        mosaic = Image.new("RGB", (1024, 768))
        for tile in range(12):
            with Image.open(chosen.choice(files)) as image:
                place = (tile % 4 * 256, tile // 4 * 256)
                mosaic.paste(image.convert("RGB").resize((256, 256)), place)
        mosaic.save(folder / f"{number:04}.jpg", quality=90)


def program(command):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}
    return subprocess.Popen(arguments.prefix.split() + command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                            stderr=subprocess.DEVNULL, env=environment)


def rate(process):
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def quartiles(values):
    if len(values) < 2:
        return values * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def compare(title, folder, threads):
    ours = dict(entry.split("=", 1) for entry in arguments.binary)
    commands = {name: [path, str(folder), str(threads)] for name, path in ours.items()}
    commands |= {peer: [sys.executable, str(HERE / "peers.py"), peer, str(folder), str(threads)] for peer in PEERS}
    processes = {name: program(command) for name, command in commands.items()}
    for process in processes.values():
        rate(process)
    rates = {name: [] for name in processes}
    for _ in range(arguments.rounds):
        for name, process in processes.items():
            rates[name].append(rate(process))
    for process in processes.values():
        process.stdin.close()
        process.wait()
    print(f"\n{title}, {threads} thread{'s' if threads > 1 else ''}, {arguments.rounds} rounds: images/s (quartiles)"
          + "".join(f", ratio of {name}" for name in ours))
    for name, values in rates.items():
        low, middle, high = quartiles(values)
        ratios = ""
        for own in ours:
            if name not in ours:
                q1, q2, q3 = quartiles([a / b for a, b in zip(rates[own], values)])
                ratios += f"   {q2:5.2f} ({q1:.2f}–{q3:.2f})"
        print(f"  {name:22} {middle:7.0f} ({low:.0f}–{high:.0f}){ratios}", flush=True)


with tempfile.TemporaryDirectory() as scratch:
    files = images_of(arguments.set)
    mosaics, small = Path(scratch, "mosaics"), Path(scratch, "set")
    mosaics.mkdir()
    small.mkdir()
    make_mosaics(files, mosaics)
    for number, path in enumerate(files[:arguments.limit]):
        (small / f"{number:04}{path.suffix}").symlink_to(path.resolve())
    for threads in arguments.threads:
        compare(f"JPEG 1024×768 to 224×224", mosaics, threads)
        compare(f"{arguments.set.name} to 224×224", small, threads)
