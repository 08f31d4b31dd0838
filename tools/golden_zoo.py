#!/usr/bin/env python3
"""Oracle for the built-in architectures, from torchvision and timm.

    golden_zoo.py golden                 writes crates/engine/tests/golden/zoo.json
                                         (needs torch, torchvision and timm; two minutes)
    golden_zoo.py check-onnx FOLDER      runs FOLDER/NAME.onnx with ONNX Runtime on the images that
                                         FOLDER/NAME.json describes and compares the logits there

The golden file holds, by architecture: the reference's tensors (names and shapes), its number of
parameters for 1000 classes, and the logits it gives for weights and images that both sides
compute: `noise` below, `support::noise` in the tests.
"""

import json
import pathlib
import sys
import zlib

import numpy

GOLDEN = pathlib.Path(__file__).parent.parent / "crates/engine/tests/golden/zoo.json"
CLASSES = 10
BATCH = 2

# Sides of the square images to give logits for: near the least, with windows of unequal size in the
# adaptive pools, and for some the size they were made for.
SIDES = {
    "baseline": [17],
    "cnn6": [64],
    "alexnet": [67, 224],
    "vgg11": [96],
    "vgg11_bn": [40],
    "vgg16": [64],
    "vgg16_bn": [32],
    "resnet18": [33, 64, 224],
    "resnet34": [40],
    "resnet50": [64],
    "mobilenet_v2": [96],
    "mobilenet_v3_small": [64, 224],
    "efficientnet_b0": [64],
    "convnext_tiny": [64],
    "vit_tiny": [48, 224],
}


# Variance of the weights times 3 fan_in: 6 keeps that of the activations below ReLU; gates take more.
GAIN = 6
GATED_GAIN = 9
GATED = ("mobilenet_v3_small", "efficientnet_b0")


def noise(name, count):
    """Numbers without pattern in -1 to 1, keyed by a name; whole numbers of 32 bits and one exact
    scaling, so that they are the same everywhere. The hash is Wellons' `lowbias32`."""
    x = numpy.arange(count, dtype=numpy.uint32) * numpy.uint32(0x9E3779B9)
    x += numpy.uint32(zlib.crc32(name.encode()))
    x ^= x >> numpy.uint32(16)
    x *= numpy.uint32(0x7FEB352D)
    x ^= x >> numpy.uint32(15)
    x *= numpy.uint32(0x846CA68B)
    x ^= x >> numpy.uint32(16)
    return (x >> numpy.uint32(8)).astype(numpy.float32) / numpy.float32(1 << 23) - numpy.float32(1)


def images(side):
    return noise(f"images/{side}", BATCH * 3 * side * side).reshape(BATCH, 3, side, side)


def values(name, shape, gain):
    """What the tensor `name` is filled with; the tests do the same."""
    drawn = noise(name, int(numpy.prod(shape))).reshape(shape)
    quarter, eighth = numpy.float32(0.25), numpy.float32(0.125)
    if name.endswith("running_var"):
        return 1 + quarter * abs(drawn)
    if name.endswith(".gamma") or (len(shape) == 1 and name.endswith("weight")):
        return 1 + quarter * drawn
    if len(shape) == 1 or name in ("cls_token", "pos_embed"):
        return eighth * drawn
    fan_in = int(numpy.prod(shape[1:]))
    return drawn * numpy.float32(numpy.sqrt(gain / fan_in))


def named_sequence(parts):
    from torch import nn

    network = nn.Sequential()
    for name, part in parts:
        network.add_module(name, part)
    return network


def baseline(classes):
    from torch import nn

    parts, inputs = [], 3
    for block, outputs in enumerate((32, 64, 128), start=1):
        parts += [
            (f"conv{block}", nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)),
            (f"bn{block}", nn.BatchNorm2d(outputs)),
            (f"relu{block}", nn.ReLU()),
            (f"pool{block}", nn.MaxPool2d(2)),
        ]
        inputs = outputs
    parts += [("avgpool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten()), ("fc1", nn.Linear(128, 128))]
    parts += [("relu4", nn.ReLU()), ("dropout", nn.Dropout(0.2)), ("fc2", nn.Linear(128, classes))]
    return named_sequence(parts)


def cnn6(classes):
    from torch import nn

    parts, inputs = [], 3
    for block, outputs in enumerate((32, 64, 128, 128, 256, 256), start=1):
        parts += [
            (f"conv{block}", nn.Conv2d(inputs, outputs, 3, padding=1)),
            (f"relu{block}", nn.ReLU()),
            (f"pool{block}", nn.MaxPool2d(2)),
            (f"bn{block}", nn.BatchNorm2d(outputs)),
        ]
        inputs = outputs
    parts += [("avgpool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten())]
    return named_sequence(parts + [("dropout", nn.Dropout(0.2)), ("fc", nn.Linear(256, classes))])


def reference(name, classes, side):
    """The reference's network, without its weights."""
    import timm
    import torchvision

    if name in ("baseline", "cnn6"):
        return {"baseline": baseline, "cnn6": cnn6}[name](classes)
    if name == "convnext_tiny":
        return timm.create_model(name, num_classes=classes)
    if name == "vit_tiny":
        return timm.create_model("vit_tiny_patch16_224", num_classes=classes, img_size=side)
    return getattr(torchvision.models, name)(weights=None, num_classes=classes)


def tensors(network):
    counters = "num_batches_tracked"
    return {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(counters)}


def fill(network, gain):
    import torch

    with torch.no_grad():
        for name, tensor in tensors(network).items():
            tensor.copy_(torch.from_numpy(values(name, tuple(tensor.shape), gain)))


def logits(name, side, gain):
    """What the reference answers, in 64-bit floats."""
    import torch

    network = reference(name, CLASSES, side)
    fill(network, gain)
    network.eval().double()
    with torch.no_grad():
        answer = network(torch.from_numpy(images(side)).double())
    return {"side": side, "logits": [float(f"{value:.9g}") for value in answer.flatten()]}


def describe(name, sides):
    network = reference(name, CLASSES, sides[0])
    whole = reference(name, 1000, 224)
    result = {"parameters": sum(parameter.numel() for parameter in whole.parameters())}
    result["tensor_side"] = sides[0]
    result["tensors"] = {name: list(tensor.shape) for name, tensor in tensors(network).items()}
    result["gain"] = GATED_GAIN if name in GATED else GAIN
    result["answers"] = [logits(name, side, result["gain"]) for side in sides]
    print(name, result["parameters"], [max(map(abs, answer["logits"])) for answer in result["answers"]], flush=True)
    return result


def golden():
    import timm
    import torch
    import torchvision

    torch.set_num_threads(1)
    versions = {module.__name__: module.__version__.split("+")[0] for module in (torch, torchvision, timm)}
    result = {"versions": versions, "classes": CLASSES, "batch": BATCH}
    result["architectures"] = {name: describe(name, sides) for name, sides in SIDES.items()}
    GOLDEN.write_text(json.dumps(result, separators=(",", ":")) + "\n")
    print(f"wrote {GOLDEN}: {GOLDEN.stat().st_size:,} bytes")


def check_onnx(folder):
    """Every network's logits within 1e-4 * (1 + largest)."""
    import onnxruntime

    files = sorted(pathlib.Path(folder).glob("*.onnx"))
    for file in files:
        expected = json.loads(file.with_suffix(".json").read_text())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        batch = images(expected["side"])
        answer = session.run(["logits"], {"input": batch})[0]
        wanted = numpy.array(expected["logits"], numpy.float32).reshape(answer.shape)
        worst = float(numpy.abs(answer - wanted).max())
        limit = 1e-4 * (1 + float(numpy.abs(wanted).max()))
        assert worst <= limit, f"{file.name}: {worst} > {limit}"
        single = session.run(["logits"], {"input": batch[1:]})[0]
        worst = float(numpy.abs(single - wanted[1:]).max())
        assert worst <= limit, f"{file.name}, one image: {worst} > {limit}"
        print(f"{file.name}: largest difference {worst:.2e}")
    print(f"onnxruntime {onnxruntime.__version__}: {len(files)} files agree")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments == ["golden"]:
        golden()
    elif len(arguments) == 2 and arguments[0] == "check-onnx":
        check_onnx(arguments[1])
    else:
        sys.exit(__doc__)
