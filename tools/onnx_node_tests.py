"""Holds the native executor against ONNX's own backend node tests (the PyPI package `onnx` makes them).

    cargo build --release -p ferrotype-inference --example onnx_node
    python tools/onnx_node_tests.py target/release/examples/onnx_node [--all]

A test counts where its outputs are floats: the first input of floats stays an input, all others become
constants. What the executor refuses (an unsupported operator or option) is counted apart; a number that
differs by more than 1e-4 * (1 + largest) fails. In the end refusals are counted by operator and reason; with
`--all` each is listed as well.
"""

import argparse
import collections
import pathlib
import re
import subprocess
import tempfile

import numpy
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases


class Runner:
    """The example `onnx_node`, kept running."""

    def __init__(self, binary, folder):
        self.folder = folder
        self.process = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, model, input_name, output_name, values):
        """The output, or the text of the refusal."""
        path = self.folder / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return self.run_file(path, input_name, output_name, values)

    def run_file(self, path, input_name, output_name, values):
        """As `run`, of a model in a file."""
        (self.folder / "input").write_bytes(numpy.ascontiguousarray(values, "<f4").tobytes())
        shape = ",".join(str(size) for size in values.shape)
        fields = [str(path), input_name, output_name, shape, str(self.folder / "input"), str(self.folder / "output")]
        self.process.stdin.write("\t".join(fields) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().rstrip("\n")
        if answer == "ok":
            return numpy.frombuffer((self.folder / "output").read_bytes(), "<f4")
        return answer


def check(runner, case):
    """`passed`, `refused …` or `failed …`; None for a test that does not count."""
    model = case.model
    if not case.data_sets:
        return None
    inputs, outputs = case.data_sets[0]
    values = [*inputs, *outputs]
    if not inputs or not all(isinstance(value, (numpy.ndarray, numpy.generic)) for value in values):
        return None
    inputs, outputs = [numpy.asarray(value) for value in inputs], [numpy.asarray(value) for value in outputs]
    if any(output.dtype != numpy.float32 for output in outputs):
        return None
    names = [value.name for value in model.graph.input]
    first = next((index for index, value in enumerate(inputs) if value.dtype == numpy.float32), None)
    if first is None or len(names) != len(inputs):
        return None
    kept = model.graph.input[first]
    for index, value in enumerate(inputs):
        if index != first:
            model.graph.initializer.append(numpy_helper.from_array(value, names[index]))
    del model.graph.input[:]
    model.graph.input.append(kept)
    for output, expected in zip(list(model.graph.output), outputs):
        found = runner.run(model, names[first], output.name, inputs[first])
        if isinstance(found, str):
            return f"refused: {found}"
        if found.size != expected.size:
            return f"failed: {found.size} numbers, expected {expected.size}"
        if expected.size == 0:
            continue
        limit = 1e-4 * (1 + numpy.abs(expected[numpy.isfinite(expected)]).max(initial=0))
        if not numpy.allclose(found, expected.reshape(-1), rtol=0, atol=limit, equal_nan=True):
            worst = numpy.abs(found - expected.reshape(-1)).max()
            return f"failed: differs by {worst}"
    return "passed"


def reason_of(refusal):
    """A refusal without what differs from node to node."""
    reason = refusal.split("\t")[-1].removeprefix("the native runtime cannot run the model: ")
    return re.sub(r" of `[^`]*`:", ":", re.sub(r"\[[\d, ]*\]|\b\d+\b", "…", reason))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--all", action="store_true")
    arguments = parser.parse_args()
    counts, refusals = collections.Counter(), collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(arguments.binary, pathlib.Path(folder))
        for test in sorted(collect_testcases(None), key=lambda case: case.name):
            result = check(runner, test)
            if result is None:
                continue
            kind = result.split(":")[0]
            counts[kind] += 1
            if kind == "refused":
                refusals[reason_of(result)] += 1
            if kind == "failed" or arguments.all and kind == "refused":
                print(f"{test.name}: {result}")
    for reason, count in refusals.most_common():
        print(f"{count:5} {reason}")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['refused']} refused")
    raise SystemExit(1 if counts["failed"] else 0)


if __name__ == "__main__":
    main()
