"""Writes crates/inference/tests/golden/: small networks, and what ONNX Runtime answers for them.

    python -m venv .venv && .venv/bin/pip install onnx==1.23.2 onnxruntime==1.31.1 numpy
    .venv/bin/python tools/golden_inference.py

The networks are written by the `onnx` package rather than by Ferrotype, with the operators and the
habits of other people's exporters. Everything is seeded; running it again writes the same files.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

GOLDEN = Path(__file__).parent.parent / "crates" / "inference" / "tests" / "golden"
SIDE = 12
CLASSES = 5


class Network:
    """A network under construction: nodes one after the other, weights drawn as they are named."""

    def __init__(self, name, seed):
        self.name = name
        self.random = np.random.default_rng(seed)
        self.nodes = []
        self.weights = []
        self.last = "image"

    def weight(self, name, shape, scale=None):
        fan_in = int(np.prod(shape[1:])) or 1
        scale = scale if scale is not None else np.sqrt(2.0 / fan_in)
        values = self.random.normal(0.0, scale, shape).astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def constant(self, name, values):
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, operator, *inputs, output=None, **attributes):
        """Adds a node on the last output and further inputs, and makes its output the last."""
        name = output or f"{operator.lower()}_{len(self.nodes)}"
        inputs = [self.last, *inputs]
        self.nodes.append(helper.make_node(operator, inputs, [name], name=f"node_{name}", **attributes))
        self.last = name
        return name

    def convolution(self, name, inputs, outputs, side, **attributes):
        group = attributes.get("group", 1)
        weight = self.weight(f"{name}.weight", (outputs, inputs // group, side, side))
        bias = self.weight(f"{name}.bias", (outputs,), scale=0.1)
        return self.add("Conv", weight, bias, kernel_shape=[side, side], **attributes)

    def batch_norm(self, name, channels):
        scale = self.constant(f"{name}.weight", self.random.uniform(0.5, 1.5, channels).astype(np.float32))
        bias = self.weight(f"{name}.bias", (channels,), scale=0.1)
        mean = self.weight(f"{name}.running_mean", (channels,), scale=0.1)
        variance = self.constant(
            f"{name}.running_var", self.random.uniform(0.5, 1.5, channels).astype(np.float32)
        )
        return self.add("BatchNormalization", scale, bias, mean, variance, epsilon=1e-5)

    def linear(self, name, inputs, outputs, output=None):
        weight = self.weight(f"{name}.weight", (outputs, inputs))
        bias = self.weight(f"{name}.bias", (outputs,), scale=0.1)
        return self.add("Gemm", weight, bias, output=output, transB=1)

    def model(self, outputs, opset=17, batch="batch", weights_as_inputs=False, functions=()):
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, SIDE, SIDE])
        inputs = [image]
        if weights_as_inputs:
            inputs += [
                helper.make_tensor_value_info(weight.name, weight.data_type, list(weight.dims))
                for weight in self.weights
            ]
        results = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs
        ]
        graph = helper.make_graph(self.nodes, self.name, inputs, results, self.weights)
        domains = [helper.make_opsetid("", opset)]
        if functions:
            domains.append(helper.make_opsetid("local", 1))
        model = helper.make_model(
            graph,
            opset_imports=domains,
            ir_version=8,
            producer_name="golden_inference.py",
            functions=list(functions),
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def plain():
    """Convolution, batch norm, ReLU and pooling, with an embedding beside the logits."""
    net = Network("plain", 1)
    net.convolution("conv1", 3, 8, 3, pads=[1, 1, 1, 1])
    net.batch_norm("bn1", 8)
    net.add("Relu")
    net.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    net.convolution("conv2", 8, 12, 3, pads=[1, 1, 1, 1])
    net.batch_norm("bn2", 12)
    net.add("Relu")
    net.add("GlobalAveragePool")
    net.add("Flatten", output="embedding", axis=1)
    net.linear("fc", 12, CLASSES, output="logits")
    return net.model([("logits", ["batch", CLASSES]), ("embedding", ["batch", 12])])


def residual():
    """A residual block with a strided shortcut, as ResNet has them."""
    net = Network("residual", 2)
    stem = net.convolution("stem", 3, 6, 3, pads=[1, 1, 1, 1], strides=[2, 2])
    net.add("Relu")
    inside = net.last
    net.convolution("block.conv1", 6, 10, 3, pads=[1, 1, 1, 1], strides=[2, 2])
    net.add("Relu")
    branch = net.convolution("block.conv2", 10, 10, 3, pads=[1, 1, 1, 1])
    net.last = inside
    net.convolution("block.downsample", 6, 10, 1, strides=[2, 2])
    net.add("Add", branch)
    net.add("Relu")
    axes = net.constant("axes", np.array([2, 3], dtype=np.int64))
    net.add("ReduceMean", axes, keepdims=0)
    net.linear("fc", 10, CLASSES, output="logits")
    assert stem
    return net.model([("logits", ["batch", CLASSES])], opset=18)


def mobile():
    """Depthwise convolution, ReLU6, squeeze-and-excitation and hard swish; opset 14."""
    net = Network("mobile", 3)
    net.convolution("expand", 3, 12, 1)
    low = net.constant("zero", np.array(0.0, dtype=np.float32))
    high = net.constant("six", np.array(6.0, dtype=np.float32))
    net.add("Clip", low, high)
    net.convolution("depthwise", 12, 12, 3, group=12, pads=[1, 1, 1, 1])
    wide = net.add("HardSwish")
    net.add("GlobalAveragePool")
    net.convolution("se.reduce", 12, 4, 1)
    net.add("Relu")
    net.convolution("se.expand", 4, 12, 1)
    net.add("HardSigmoid", alpha=0.2, beta=0.5)
    net.add("Mul", wide)
    net.convolution("project", 12, 8, 1)
    net.add("AveragePool", kernel_shape=[3, 3], strides=[3, 3])
    net.add("Flatten", axis=1)
    net.linear("fc", 8 * 16, CLASSES, output="logits")
    return net.model([("logits", ["batch", CLASSES])], opset=14)


def patches():
    """Patches, layer norm and GELU from its parts, as small transformers are exported; opset 17."""
    net = Network("patches", 4)
    net.convolution("patchify", 3, 8, 4, strides=[4, 4])
    shape = net.constant("shape", np.array([0, 8, -1], dtype=np.int64))
    net.add("Reshape", shape)
    tokens = net.add("Transpose", perm=[0, 2, 1])
    scale = net.constant("norm.weight", np.linspace(0.5, 1.5, 8, dtype=np.float32))
    bias = net.weight("norm.bias", (8,), scale=0.1)
    net.add("LayerNormalization", scale, bias, axis=-1, epsilon=1e-6)
    hidden = net.add("MatMul", net.weight("mlp.weight", (8, 8)))
    net.add("Div", net.constant("root_two", np.array(np.sqrt(2.0), dtype=np.float32)))
    net.add("Erf")
    net.add("Add", net.constant("one", np.array(1.0, dtype=np.float32)))
    net.add("Mul", hidden)
    net.add("Mul", net.constant("half", np.array(0.5, dtype=np.float32)))
    net.add("Add", tokens)
    net.add("ReduceMean", axes=[1], keepdims=0)
    net.linear("head", 8, CLASSES)
    net.add("Softmax", output="probabilities", axis=-1)
    return net.model([("probabilities", ["batch", CLASSES])])


def old_habits():
    """Weights listed among the inputs and a batch of exactly two, as exporters of 2018 did."""
    net = Network("old_habits", 5)
    net.convolution("conv", 3, 4, 5, strides=[2, 2])
    net.add("LeakyRelu", alpha=0.1)
    net.add("Flatten", axis=1)
    net.linear("fc", 4 * 16, CLASSES, output="logits")
    return net.model([("logits", [2, CLASSES])], opset=11, batch=2, weights_as_inputs=True)


NETWORKS = [plain, residual, mobile, patches, old_habits]


def answers(model, images):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    results = session.run(None, {"image": images})
    return {
        output.name: np.asarray(result, dtype=np.float64).round(7).tolist()
        for output, result in zip(session.get_outputs(), results)
    }


def main():
    GOLDEN.mkdir(parents=True, exist_ok=True)
    # Bytes of two images; the test brings them to the input with mean 0.5 and std 0.25.
    pixels = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
    images = ((pixels.astype(np.float32) / 255.0 - 0.5) / 0.25).transpose(0, 3, 1, 2).copy()
    cases = []
    for build in NETWORKS:
        model = build()
        path = GOLDEN / f"{build.__name__}.onnx"
        path.write_bytes(model.SerializeToString())
        cases.append({"name": build.__name__, "outputs": answers(model, images)})
        print(f"{path}: {path.stat().st_size} bytes")
    golden = {"side": SIDE, "pixels": pixels.reshape(2, -1).tolist(), "cases": cases}
    (GOLDEN / "answers.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
