"""The same recipe in PyTorch and in Ferrotype on real image sets: accuracy and minutes side by side.

    python bench/peers/accuracy.py --data /path/to/sets --out target/accuracy
    python bench/peers/accuracy.py --out target/accuracy --table          # only what is there already
    python bench/peers/accuracy.py --data DIR --out DIR --choose --recipes default smoothed

Both sides train on the same lists: Ferrotype imports the folder (the test part is the folder's, the
validation part is carved out of train) and its lists are what PyTorch reads. Same net, optimiser,
schedule, augmentation; the weights of the epoch with the best validation accuracy are scored on the
test part. Each run's result is a file under `--out`; what is there is not run again.

Recipes are chosen with `--choose`, which never looks at the test part: it prints the validation accuracy
of each recipe.
"""

import argparse
import json
import os
import pathlib
import resource
import shlex
import sqlite3
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]

# The sets, each with its net and pixels.
SETS = {
    "cifake": {"net": "baseline", "pixels": 32},
    "chest_xray": {"net": "baseline", "pixels": 96},
    "uc_merced": {"net": "resnet18", "pixels": 96},
    "brain_mri": {"net": "resnet18", "pixels": 96},
}

DEFAULT = {
    "epochs": 30,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "weight_decay": 0.05,
    "warmup_epochs": 1.0,
    "label_smoothing": 0.0,
    "gradient_clip": 1.0,
    # Of the image's side.
    "crop_share": 0.125,
    "vertical_flip": 0.0,
    "color": 0.1,
    # Known to Ferrotype alone, for choosing.
    "ema": None,
    "trivial_augment": False,
    # Least share of the image in a crop of random size and shape, which takes the place of the padded one.
    "crop_scale": None,
}

# Candidates, each by what it changes.
RECIPES = {
    "default": {},
    "smoothed": {"label_smoothing": 0.1},
    "aerial": {"vertical_flip": 0.5},
    "higher": {"learning_rate": 2e-3},
    "lower": {"learning_rate": 5e-4},
    "shorter": {"epochs": 20},
    "longer": {"epochs": 45},
    "averaged": {"ema": 0.999},
    "trivial": {"color": 0.0, "trivial_augment": True},
    "resized": {"label_smoothing": 0.1, "crop_share": 0.0, "crop_scale": 0.5},
}

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def recipe_of(name):
    return DEFAULT | RECIPES[name]


def augment_of(recipe, pixels):
    """The random changes, in pixels and factors."""
    return {
        "horizontal_flip": 0.5,
        "vertical_flip": recipe["vertical_flip"],
        "crop_padding": round(recipe["crop_share"] * pixels),
        "brightness": recipe["color"],
        "contrast": recipe["color"],
        "saturation": recipe["color"],
    }


class Ferrotype:
    """The program, and a project of its own for one set."""

    def __init__(self, binary, project):
        self.binary, self.project = binary, project
        project.mkdir(parents=True, exist_ok=True)

    def json(self, *arguments):
        command = [self.binary, "--project", str(self.project), *arguments, "--json"]
        return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)

    def lists(self, folder):
        """Imports the folder; answers class names and the images of each split."""
        self.json("--quiet", "data", "import", str(folder), "--name", folder.name)
        with sqlite3.connect(f"file:{self.project}/.ferrotype/ferrotype.db?mode=ro", uri=True) as database:
            query = "SELECT manifest_digest FROM dataset_version ORDER BY version DESC LIMIT 1"
            digest = database.execute(query).fetchone()[0].rpartition(":")[2]
        lines = (self.project / ".ferrotype/blobs" / digest[:2] / digest[2:]).read_text().splitlines()
        header, entries = json.loads(lines[0]), [json.loads(line) for line in lines[1:]]
        splits = {"train": [], "val": [], "test": []}
        for entry in entries:
            splits[entry["split"]].append({"path": entry["path"], "class": entry["class"]})
        return header["classes"], splits

    def train(self, task, seed, threads):
        """One training; answers the result as `accuracy_torch.py` writes it."""
        recipe, augment = task["recipe"], task["augment"]
        settings = {
            "model": task["net"],
            "data.dataset": task["set"],
            "data.image_size": task["pixels"],
            "data.workers": threads,
            "train.epochs": recipe["epochs"],
            "train.batch_size": recipe["batch_size"],
            "train.learning_rate": recipe["learning_rate"],
            "train.optimizer.weight_decay": recipe["weight_decay"],
            "train.schedule.warmup_epochs": recipe["warmup_epochs"],
            "train.gradient_clip": "null" if recipe["gradient_clip"] is None else recipe["gradient_clip"],
            "train.early_stopping": "null",
            "train.monitor": "val/accuracy",
            "train.seed": seed,
        }
        settings |= {f"data.augment.{key}": value for key, value in augment.items()}
        if recipe["label_smoothing"]:
            settings["train.label_smoothing"] = recipe["label_smoothing"]
        if recipe["ema"]:
            settings["train.ema"] = recipe["ema"]
        if recipe["crop_scale"]:
            settings["+data.augment.random_resized_crop"] = f"{{scale:[{recipe['crop_scale']},1.0]}}"
        if recipe["trivial_augment"]:
            settings["+data.augment.trivial_augment"] = "{}"
        name = f"{task['name']}-{seed}-{time.time_ns()}"
        command = [self.binary, "--project", str(self.project), "--quiet", "train", "--name", name]
        command += [f"{key}={value}" for key, value in settings.items()]
        environment = os.environ | {"RAYON_NUM_THREADS": str(threads)}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        shown = self.json("runs", "show", name)
        result = {"run": name, "best": {"val_accuracy": self.best_accuracy(shown["id"])}}
        if task["test"]:
            report = self.json("--quiet", "evaluate", name)["scores"]
            result["test"] = {"accuracy": report["accuracy"], "macro_f1": report["macro_f1"], "auroc": report["auroc"]}
        return result

    def best_accuracy(self, run):
        """The best validation accuracy of a run, out of the store's packed points."""
        import array

        with sqlite3.connect(f"file:{self.project}/.ferrotype/ferrotype.db?mode=ro", uri=True) as database:
            query = "SELECT value_data FROM metric_chunk WHERE run_id = ? AND key = 'val/accuracy'"
            return max(max(array.array("d", data)) for (data,) in database.execute(query, [run]))


def torch_result(task_path, seed, threads, python, out):
    command = [*shlex.split(python), str(ROOT / "bench/peers/accuracy_torch.py"), "--task", str(task_path)]
    command += ["--seed", str(seed), "--threads", str(threads), "--out", str(out)]
    subprocess.run(command, check=True)
    return json.loads(out.read_text())


def tasks(arguments):
    """Each set with each recipe, written as a file that both sides read."""
    for name in arguments.sets:
        folder = arguments.data / name
        ferrotype = Ferrotype(arguments.ferrotype, arguments.out / "projects" / name)
        classes, splits = ferrotype.lists(folder)
        for recipe_name in arguments.recipes:
            recipe = recipe_of(recipe_name)
            if arguments.epochs:
                recipe["epochs"] = arguments.epochs
            task = SETS[name] | {
                "name": f"{name}-{recipe_name}",
                "set": name,
                "root": str(folder.resolve()),
                "classes": classes,
                "splits": splits,
                "mean": MEAN,
                "std": STD,
                "recipe": recipe,
                "augment": augment_of(recipe, SETS[name]["pixels"]),
                "test": not arguments.choose,
            }
            path = arguments.out / "tasks" / f"{task['name']}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(task))
            yield ferrotype, task, path


def run_all(arguments):
    prefix = "choose-" if arguments.choose else ""
    for ferrotype, task, task_path in tasks(arguments):
        for seed in arguments.seeds:
            for side in arguments.sides:
                out = arguments.out / f"{prefix}{task['name']}-{side}-{seed}.json"
                if out.exists():
                    continue
                began = time.perf_counter()
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                if side == "ferrotype":
                    result = ferrotype.train(task, seed, arguments.threads)
                else:
                    partial = out.with_suffix(".partial")
                    result = torch_result(task_path, seed, arguments.threads, arguments.python, partial)
                    partial.unlink()
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                result |= {
                    "set": task["set"],
                    "recipe": task["name"].removeprefix(task["set"] + "-"),
                    "side": side,
                    "seed": seed,
                    # From the command to the test scores, decoding and starting included.
                    "seconds": time.perf_counter() - began,
                    "processor_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
                }
                out.write_text(json.dumps(result, indent=1) + "\n")
                print(f"{out.name}: {result['best']['val_accuracy']:.4f} on validation, {result['seconds']:.0f} s", flush=True)


def mean_and_spread(values):
    """Mean, and the standard deviation of the seeds."""
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{spread}"


def results(folder, prefix):
    found = {}
    for path in sorted(folder.glob(f"{prefix}*.json")):
        if not prefix and path.name.startswith("choose-"):
            continue
        result = json.loads(path.read_text())
        found.setdefault((result["set"], result["recipe"]), {}).setdefault(result["side"], []).append(result)
    return found


def minutes(runs, key="seconds"):
    return f"{statistics.mean(run[key] for run in runs) / 60:.1f}"


def print_table(folder):
    print("| set, net, pixels | recipe | side | seeds | test accuracy % | macro-F1 % | AUROC % | minutes | processor minutes |")
    print("|---|---|---|---|---|---|---|---|---|")
    for (name, recipe), sides in results(folder, "").items():
        about = f"{name}, {SETS[name]['net']}, {SETS[name]['pixels']}"
        for side, runs in sides.items():
            test = [run["test"] for run in runs]
            cells = [mean_and_spread([scores[key] for scores in test]) for key in ["accuracy", "macro_f1", "auroc"]]
            print(f"| {about} | {recipe} | {side} | {len(runs)} | {' | '.join(cells)} | {minutes(runs)} | {minutes(runs, 'processor_seconds')} |")


def print_choice(folder):
    print("| set | recipe | side | seeds | best validation accuracy % | minutes |")
    print("|---|---|---|---|---|---|")
    for (name, recipe), sides in results(folder, "choose-").items():
        for side, runs in sides.items():
            best = mean_and_spread([run["best"]["val_accuracy"] for run in runs])
            print(f"| {name} | {recipe} | {side} | {len(runs)} | {best} | {minutes(runs)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, help="the folder that holds the sets")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="results, tasks and projects")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--recipes", nargs="+", default=["default"], choices=RECIPES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--sides", nargs="+", default=["ferrotype", "pytorch"], choices=["ferrotype", "pytorch"])
    parser.add_argument("--epochs", type=int, help="instead of the recipe's, for a quick try")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--choose", action="store_true", help="compare recipes on validation; the test part is not scored")
    parser.add_argument("--table", action="store_true", help="print what is there, run nothing")
    parser.add_argument("--ferrotype", default=str(ROOT / "target/release/ferrotype"), help="the program")
    parser.add_argument("--python", default=os.environ.get("BENCH_PYTHON", sys.executable), help="with PyTorch")
    arguments = parser.parse_args()
    if not arguments.table:
        if arguments.data is None:
            parser.error("--data is needed")
        run_all(arguments)
    (print_choice if arguments.choose else print_table)(arguments.out)


if __name__ == "__main__":
    main()
