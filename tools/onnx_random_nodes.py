"""Holds the native executor against ONNX Runtime on single nodes with options and sizes drawn at random.

    cargo build --release -p ferrotype-inference --example onnx_node
    python tools/onnx_random_nodes.py target/release/examples/onnx_node [--rounds N] [--seed S]

What ONNX Runtime or the executor refuses is counted apart; a number that differs by more than
1e-4 * (1 + largest) fails.
"""

import argparse
import collections
import pathlib
import random
import tempfile

import numpy
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from onnx_node_tests import Runner, reason_of


def image(draw, channels=None):
    """A small image's shape, with odd sides."""
    return [draw.randint(1, 3), channels or draw.choice([1, 2, 3, 4, 6, 16, 24, 33]), draw.randint(3, 13), draw.randint(3, 13)]


def window(draw, sides, is_pool=False):
    """Attributes of a window."""
    kernel = [draw.randint(1, 4) for _ in sides]
    dilations = [draw.choice([1, 1, 1, 2]) for _ in sides]
    pads = [draw.randint(0, max(0, (k - 1) * d)) for k, d in zip(kernel, dilations)] * 2
    if draw.random() < 0.5:
        pads = [draw.randint(0, pad) for pad in pads]
    options = {"kernel_shape": kernel, "strides": [draw.randint(1, 3) for _ in sides], "dilations": dilations}
    auto = draw.choice(["NOTSET"] * 4 + ["SAME_UPPER", "SAME_LOWER", "VALID"])
    if auto == "NOTSET":
        options["pads"] = pads
    else:
        options["auto_pad"] = auto
    if is_pool and draw.random() < 0.4:
        options["ceil_mode"] = 1
    return options


def convolution(draw, make):
    group = draw.choice([1, 1, 1, 2, 4])
    shape = image(draw, group * draw.choice([1, 2, 3, 8]))
    is_line = draw.random() < 0.2
    shape = shape[:3] if is_line else shape
    options = window(draw, shape[2:])
    outputs = group * draw.choice([1, 2, 5, 32])
    weight = make([outputs, shape[1] // group, *options["kernel_shape"]])
    return "Conv", shape, [weight] + ([make([outputs])] if draw.random() < 0.5 else []), {**options, "group": group}


def transposed(draw, make):
    group = draw.choice([1, 1, 1, 2, 4])
    shape = image(draw, group * draw.choice([1, 2, 3, 8]))
    is_line = draw.random() < 0.2
    shape = shape[:3] if is_line else shape
    options = window(draw, shape[2:])
    if draw.random() < 0.3:
        options.update(strides=options["kernel_shape"], dilations=[1] * len(shape[2:]), pads=[0, 0] * len(shape[2:]))
        options.pop("auto_pad", None)
    if draw.random() < 0.3 and "auto_pad" not in options:
        options["output_padding"] = [draw.randint(0, stride - 1) for stride in options["strides"]]
    outputs = draw.choice([1, 2, 5, 32])
    weight = make([shape[1], outputs, *options["kernel_shape"]])
    bias = [make([outputs * group])] if draw.random() < 0.5 else []
    return "ConvTranspose", shape, [weight] + bias, {**options, "group": group}


def pool(draw, make):
    shape = image(draw)
    shape = shape[:3] if draw.random() < 0.2 else shape
    options = window(draw, shape[2:], is_pool=True)
    operator = draw.choice(["MaxPool", "AveragePool"])
    if operator == "AveragePool":
        options["count_include_pad"] = draw.randint(0, 1)
    return operator, shape, [], options


def resize(draw, make):
    shape = image(draw)
    options = {
        "mode": draw.choice(["nearest", "linear", "cubic"]),
        "coordinate_transformation_mode": draw.choice(["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"]),
    }
    if options["mode"] == "nearest":
        options["nearest_mode"] = draw.choice(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
    elif draw.random() < 0.3:
        options["antialias"] = 1
        options["coordinate_transformation_mode"] = "half_pixel"
    if options["mode"] == "cubic":
        options["exclude_outside"] = draw.randint(0, 1)
        options["cubic_coeff_a"] = draw.choice([-0.75, -0.5])
    nothing = numpy.zeros(0, numpy.float32)
    if draw.random() < 0.5:
        sizes = numpy.array([*shape[:2], draw.randint(1, 20), draw.randint(1, 20)])
        return "Resize", shape, [nothing, nothing, sizes], options
    scales = numpy.array([1, 1, draw.choice([0.5, 1, 1.5, 2, 3]), draw.choice([0.5, 1, 2, 2.5])], numpy.float32)
    return "Resize", shape, [nothing, scales], options


def pad(draw, make):
    shape = image(draw)
    pads = numpy.array([draw.randint(-1, 2) for _ in range(8)])
    return "Pad", shape, [pads], {"mode": draw.choice(["constant", "reflect", "edge", "wrap"])}


def norm(draw, make):
    shape = image(draw)
    kind = draw.choice(["LayerNormalization", "InstanceNormalization", "LRN", "LpNormalization", "BatchNormalization"])
    channels = shape[1]
    if kind == "LayerNormalization":
        axis = draw.randint(1, 3)
        return kind, shape, [make(shape[axis:]), make(shape[axis:])], {"axis": axis}
    if kind == "InstanceNormalization":
        return kind, shape, [make([channels]), make([channels])], {}
    if kind == "LRN":
        return kind, shape, [], {"size": draw.choice([1, 3, 5]), "alpha": 0.3, "beta": 0.7, "bias": 1.5}
    if kind == "LpNormalization":
        return kind, shape, [], {"axis": draw.randint(-4, 3), "p": draw.randint(1, 2)}
    shape = shape[: draw.choice([2, 3, 4])]
    return kind, shape, [make([channels]), make([channels]), make([channels]), numpy.abs(make([channels])) + 0.1], {}


def reduction(draw, make):
    shape = image(draw)
    kind = draw.choice(["Mean", "Sum", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSumExp"])
    axes = numpy.array(draw.sample(range(-4, 0), draw.randint(1, 4)))
    return f"Reduce{kind}", shape, [axes], {"keepdims": draw.randint(0, 1)}


def product(draw, make):
    kind = draw.choice(["Gemm", "MatMul", "Einsum"])
    rows, inner, columns = (draw.randint(1, 40) for _ in range(3))
    if kind == "Gemm":
        options = {"transA": draw.randint(0, 1), "transB": draw.randint(0, 1), "alpha": draw.choice([1.0, 0.5]), "beta": draw.choice([1.0, 2.0])}
        left = [inner, rows] if options["transA"] else [rows, inner]
        right = make([columns, inner] if options["transB"] else [inner, columns])
        bias = draw.choice([[columns], [1, columns], [rows, columns], [rows, 1], [1], []])
        return kind, left, [right] + ([make(bias)] if draw.random() < 0.7 else []), options
    if kind == "MatMul":
        outer = draw.choice([[], [2], [2, 3]])
        right = draw.choice([[inner, columns], [inner], [3, inner, columns], [1, inner, columns]])
        return kind, [*outer, rows, inner], [make(right)], {}
    return kind, [2, rows, inner], [make([inner, columns])], {"equation": draw.choice(["abc,cd->abd", "abc,cd->adb", "abc,cd->dab"])}


def movement(draw, make):
    shape = image(draw, 4 * draw.randint(1, 3))
    kind = draw.choice(["Transpose", "Slice", "DepthToSpace", "SpaceToDepth", "Tile", "Gather", "GatherElements", "Softmax"])
    if kind == "Transpose":
        return kind, shape, [], {"perm": draw.sample(range(4), 4)}
    if kind == "Slice":
        axis = draw.randint(0, 3)
        lists = [[draw.randint(-9, 9)], [draw.randint(-9, 9)], [axis], [draw.choice([1, 2, -1, -2])]]
        return kind, shape, [numpy.array(values) for values in lists], {}
    if kind == "DepthToSpace":
        return kind, shape, [], {"blocksize": 2, "mode": draw.choice(["DCR", "CRD"])}
    if kind == "SpaceToDepth":
        return kind, [*shape[:2], 2 * shape[2], 2 * shape[3]], [], {"blocksize": 2}
    if kind == "Tile":
        return kind, shape, [numpy.array([draw.randint(1, 3) for _ in range(4)])], {}
    if kind == "Softmax":
        return kind, shape, [], {"axis": draw.randint(-4, 3)}
    axis = draw.randint(0, 3)
    if kind == "Gather":
        count = draw.choice([1, 3, 100])
        return kind, shape, [numpy.array([draw.randint(-shape[axis], shape[axis] - 1) for _ in range(count)])], {"axis": axis}
    indices = [size if other != axis else draw.randint(1, 5) for other, size in enumerate(shape)]
    values = numpy.array([draw.randint(-shape[axis], shape[axis] - 1) for _ in range(int(numpy.prod(indices)))])
    return kind, shape, [values.reshape(indices)], {"axis": axis}


def function(draw, make):
    shape = image(draw)
    kind = draw.choice(["Selu", "Celu", "Softsign", "ThresholdedRelu", "Shrink", "PRelu", "Gelu", "Mish", "HardSwish", "Round", "Elu"])
    return kind, shape, [make([shape[1], 1, 1])] if kind == "PRelu" else [], {}


MAKERS = [convolution, convolution, transposed, transposed, pool, pool, resize, resize, pad, norm, reduction, product, movement, function]


def check(runner, folder, draw):
    """The operator with its options, and `passed`, `refused …` or `failed …`."""
    numbers = numpy.random.default_rng(draw.randrange(1 << 32))
    operator, shape, constants, options = draw.choice(MAKERS)(draw, lambda sizes: numbers.normal(size=sizes).astype(numpy.float32))
    names = [f"c{index}" for index in range(len(constants))]
    graph = helper.make_graph(
        # A sum before and behind, so that layouts in memory are those within a network.
        [helper.make_node("Abs", ["image"], ["x"]), helper.make_node(operator, ["x", *names], ["y"], **options)],
        "one",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(numpy.asarray(value, value.dtype), name) for name, value in zip(names, constants)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    values = numbers.normal(size=shape).astype(numpy.float32)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    told = f"{operator} of {shape} {options} {[list(c.shape) if c.size > 8 else c.tolist() for c in constants]}"
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
        (expected,) = session.run(None, {"image": values})
    except Exception:  # noqa: BLE001: an option or a size that it does not take
        return told, "not for ONNX Runtime"
    found = runner.run(model, "image", "y", values)
    if isinstance(found, str):
        return told, f"refused: {found}"
    if found.size != expected.size:
        return told, f"failed: {found.size} numbers, expected {expected.size}"
    if expected.size and not numpy.allclose(found, expected.reshape(-1), rtol=0, atol=1e-4 * (1 + numpy.abs(expected).max()), equal_nan=True):
        return told, f"failed: differs by {numpy.abs(found - expected.reshape(-1)).max()}"
    return told, "passed"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    counts, refusals = collections.Counter(), collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(arguments.binary, pathlib.Path(folder))
        for round_number in range(arguments.rounds):
            told, result = check(runner, folder, random.Random(f"{arguments.seed} {round_number}"))
            kind = result.split(":")[0]
            counts[kind] += 1
            if kind == "failed":
                print(f"{told}: {result}")
            if kind == "refused":
                refusals[reason_of(result)] += 1
    for reason, count in refusals.most_common():
        print(f"{count:5} {reason}")
    print(", ".join(f"{count} {kind}" for kind, count in counts.items()))
    raise SystemExit(1 if counts["failed"] else 0)


if __name__ == "__main__":
    main()
