"""From the start of `ferrotype train` to the start of its first step, with the decoded images cached.

    cargo build --release && python bench/train/first_step.py --nets baseline resnet18

Paints and imports 1,500 tiles in a temporary project, trains once so that everything is cached, and then
starts a training a few times. A point of the training loss is written after each step, with its time; the
first step is taken to have begun as long before its end as the second took, which is a little too late,
because a first step is the slower one.
"""

import argparse
import array
import os
import pathlib
import sqlite3
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def first_times(project, name):
    """When the first two steps of a run ended, in seconds since 1970."""
    with sqlite3.connect(f"file:{project}/.ferrotype/ferrotype.db?mode=ro", uri=True) as database:
        query = """SELECT time_data FROM metric_chunk JOIN run ON run.id = run_id
                   WHERE run.name = ? AND key = 'train/loss' ORDER BY chunk LIMIT 1"""
        times = array.array("q", database.execute(query, [name]).fetchone()[0])
    return times[0] / 1e3, times[1] / 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=["baseline", "resnet18"])
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--realtime", action="store_true", help="first-in-first-out scheduling (root)")
    parser.add_argument("--ferrotype", default=str(ROOT / "target/release/ferrotype"), help="the program")
    arguments = parser.parse_args()
    prefix = ["chrt", "-f", "10"] if arguments.realtime else []
    environment = os.environ | {"RAYON_NUM_THREADS": str(arguments.threads)}
    with tempfile.TemporaryDirectory() as project:

        def ferrotype(*words):
            command = [*prefix, arguments.ferrotype, "--project", project, "--quiet", *words]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)

        ferrotype("data", "synth", f"{project}/tiles", "--size", str(arguments.side))
        ferrotype("data", "import", f"{project}/tiles", "--name", "tiles")
        for net in arguments.nets:
            settings = [f"model={net}", "data.dataset=tiles", f"data.image_size={arguments.side}", "train.epochs=1"]
            seconds = []
            for repeat in range(arguments.repeats + 1):
                name = f"{net}-{repeat}"
                began = time.time()
                ferrotype("train", "--name", name, *settings)
                first, second = first_times(pathlib.Path(project), name)
                seconds.append(first - (second - first) - began)
            # The first run filled the caches.
            warm = sorted(seconds[1:])
            print(f"{net}, {arguments.side} pixels: median {statistics.median(warm):.3f} s ({warm[0]:.3f}–{warm[-1]:.3f}) to the first step; cold {seconds[0]:.3f} s")


if __name__ == "__main__":
    main()
