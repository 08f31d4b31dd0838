#!/usr/bin/env python3
"""Oracles for the engine, from PyTorch and ONNX Runtime.

    golden_engine.py golden              writes crates/engine/tests/golden/*.json (needs torch)
    golden_engine.py check-onnx FOLDER   runs FOLDER/*.onnx on the inputs in FOLDER/*.json and
                                         compares the outputs there (needs onnxruntime)

A golden file holds a layer graph and what PyTorch makes of it: logits, loss, gradients, and the
course of a few steps of each optimiser; `recipe.json` what PyTorch makes of losses, schedules and
frozen layers. Weights and images are a pattern that both sides compute
(`pattern` below, `support::pattern` in the tests), so the files stay small.
"""

import json
import math
import pathlib
import sys

import numpy

GOLDEN = pathlib.Path(__file__).parent.parent / "crates/engine/tests/golden"
STEPS = 5
BATCH = 6


def pattern(count, seed):
    """Numbers without pattern in -1 to 1; exact integers, one division: the same everywhere."""
    index = numpy.arange(count, dtype=numpy.int64)
    return ((index * 7919 + seed * 104729) % 2003 / 1001.0 - 1.0).astype(numpy.float32)


def conv(name, out_channels, kernel, **options):
    return {"name": name, "op": "conv2d", "out_channels": out_channels, "kernel": kernel, **options}


def baseline(classes):
    layers = []
    for block, channels in enumerate((32, 64, 128), start=1):
        layers += [
            conv(f"conv{block}", channels, 3, padding=1, bias=False),
            {"name": f"bn{block}", "op": "batch_norm2d"},
            {"name": f"relu{block}", "op": "relu"},
            {"name": f"pool{block}", "op": "max_pool2d", "kernel": 2},
        ]
    return layers + [
        {"name": "avgpool", "op": "global_avg_pool"},
        {"name": "flatten", "op": "flatten"},
        {"name": "fc1", "op": "linear", "out_features": 128},
        {"name": "relu4", "op": "relu"},
        {"name": "dropout", "op": "dropout", "probability": 0.0},
        {"name": "fc2", "op": "linear", "out_features": classes},
    ]


def mixed(classes):
    return [
        conv("stem", 8, [3, 5], stride=2, padding=[1, 2], bias=False),
        {"name": "stem_norm", "op": "batch_norm2d", "epsilon": 1e-3, "momentum": 0.2},
        {"name": "stem_on", "op": "hard_swish"},
        conv("expand", 16, 1, bias=False),
        {"name": "expand_norm", "op": "batch_norm2d"},
        {"name": "expand_on", "op": "silu"},
        conv("depthwise", 16, 3, padding=1, groups=16, bias=False),
        {"name": "depthwise_norm", "op": "batch_norm2d"},
        {"name": "depthwise_on", "op": "relu"},
        conv("project", 8, 1),
        {"name": "sum", "op": "add", "inputs": ["project", "stem_on"]},
        conv("dilated", 6, 3, padding=2, dilation=2, groups=2, inputs=["sum"]),
        {"name": "gate", "op": "sigmoid"},
        {"name": "big", "op": "max_pool2d", "kernel": 3, "stride": 2, "padding": 1, "inputs": ["gate"]},
        {"name": "mean", "op": "avg_pool2d", "kernel": 3, "stride": 2, "padding": 1, "inputs": ["sum"]},
        {"name": "both", "op": "concat", "inputs": ["big", "mean"]},
        {"name": "rows", "op": "flatten"},
        {"name": "hidden", "op": "linear", "out_features": 10, "bias": False},
        {"name": "hidden_on", "op": "relu"},
        {"name": "head", "op": "linear", "out_features": classes},
    ]


def tokens(classes):
    """Gates, tokens and attention: what MobileNetV3, ConvNeXt and ViT are made of."""
    return [
        conv("stem", 8, 3, padding=1, bias=False),
        {"name": "stem_norm", "op": "batch_norm2d"},
        {"name": "stem_on", "op": "relu6"},
        {"name": "halved", "op": "max_pool2d", "kernel": 2},
        {"name": "squeeze", "op": "global_avg_pool"},
        conv("reduce", 4, 1),
        {"name": "reduce_on", "op": "silu"},
        conv("excite", 8, 1),
        {"name": "gate", "op": "hard_sigmoid"},
        {"name": "gated", "op": "multiply", "inputs": ["halved", "gate"]},
        conv("project", 8, 1, bias=False),
        {"name": "project_norm", "op": "batch_norm2d"},
        {"name": "shortcut", "op": "add", "inputs": ["project_norm", "halved"]},
        {"name": "shortcut_on", "op": "relu"},
        {"name": "pixel_norm", "op": "layer_norm", "epsilon": 1e-3},
        {"name": "expand", "op": "linear", "out_features": 16},
        {"name": "expand_on", "op": "gelu"},
        {"name": "contract", "op": "linear", "out_features": 8},
        {"name": "scale", "op": "layer_scale"},
        {"name": "block", "op": "add", "inputs": ["shortcut_on", "scale"]},
        {"name": "grid", "op": "adaptive_avg_pool2d", "output": [3, 2]},
        {"name": "cls_token", "op": "class_token"},
        {"name": "pos_embed", "op": "position_embedding"},
        {"name": "norm", "op": "layer_norm"},
        # Without a bias: that of the keys has no gradient, and AdamW would blow up its rounding.
        {"name": "qkv", "op": "linear", "out_features": 24, "bias": False},
        {"name": "attention", "op": "attention", "heads": 2},
        {"name": "proj", "op": "linear", "out_features": 8},
        {"name": "sum", "op": "add", "inputs": ["pos_embed", "proj"]},
        {"name": "first", "op": "select_token", "index": 0},
        {"name": "head", "op": "linear", "out_features": classes},
    ]


def pair(value):
    return tuple(value) if isinstance(value, list) else (value, value)


def build(graph):
    """A PyTorch module of a layer graph."""
    import torch
    from torch import nn

    class PixelNorm(nn.LayerNorm):
        def forward(self, image):
            return super().forward(image.movedim(1, -1)).movedim(-1, 1)

    class PixelLinear(nn.Linear):
        def forward(self, image):
            return super().forward(image.movedim(1, -1)).movedim(-1, 1)

    class LayerScale(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.gamma = nn.Parameter(torch.zeros(channels))

        def forward(self, image):
            return image * self.gamma[:, None, None]

    class ClassToken(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.own = nn.Parameter(torch.zeros(1, 1, channels))

        def forward(self, image):
            token = self.own.movedim(2, 1).expand(len(image), -1, -1)
            return torch.cat([token, image.flatten(2)], 2)[..., None]

    class PositionEmbedding(nn.Module):
        def __init__(self, channels, count):
            super().__init__()
            self.own = nn.Parameter(torch.zeros(1, count, channels))

        def forward(self, image):
            return image + self.own.movedim(2, 1)[..., None]

    class Attention(nn.Module):
        def __init__(self, heads):
            super().__init__()
            self.heads = heads

        def forward(self, image):
            batch, channels, count, _ = image.shape
            parts = image.reshape(batch, 3, self.heads, channels // 3 // self.heads, count).movedim(4, 3)
            answer = nn.functional.scaled_dot_product_attention(*parts.unbind(1))
            return answer.movedim(2, 3).reshape(batch, channels // 3, count, 1)

    class SelectToken(nn.Module):
        def __init__(self, index):
            super().__init__()
            self.index = index

        def forward(self, image):
            return image[:, :, self.index, 0]

    def layer_module(layer, shape):
        op, channels = layer["op"], shape[1]
        if op == "layer_norm":
            return PixelNorm(channels, eps=layer.get("epsilon", 1e-5))
        if op == "linear" and len(shape) == 4:
            return PixelLinear(channels, layer["out_features"], bias=layer.get("bias", True))
        if op == "position_embedding":
            return PositionEmbedding(channels, shape[2])
        if op == "conv2d":
            return nn.Conv2d(
                channels,
                layer["out_channels"],
                pair(layer["kernel"]),
                stride=pair(layer.get("stride", 1)),
                padding=pair(layer.get("padding", 0)),
                dilation=pair(layer.get("dilation", 1)),
                groups=layer.get("groups", 1),
                bias=layer.get("bias", True),
            )
        if op == "batch_norm2d":
            return nn.BatchNorm2d(channels, eps=layer.get("epsilon", 1e-5), momentum=layer.get("momentum", 0.1))
        if op == "linear":
            return nn.Linear(channels, layer["out_features"], bias=layer.get("bias", True))
        kernel = pair(layer.get("kernel", 1))
        window = {"stride": pair(layer["stride"]) if "stride" in layer else None, "padding": pair(layer.get("padding", 0))}
        simple = {
            "relu": nn.ReLU,
            "silu": nn.SiLU,
            "hard_swish": nn.Hardswish,
            "sigmoid": nn.Sigmoid,
            "relu6": nn.ReLU6,
            "hard_sigmoid": nn.Hardsigmoid,
            "gelu": nn.GELU,
            "adaptive_avg_pool2d": lambda: nn.AdaptiveAvgPool2d(pair(layer["output"])),
            "layer_scale": lambda: LayerScale(channels),
            "class_token": lambda: ClassToken(channels),
            "attention": lambda: Attention(layer["heads"]),
            "select_token": lambda: SelectToken(layer["index"]),
            "flatten": nn.Flatten,
            "max_pool2d": lambda: nn.MaxPool2d(kernel, **window),
            "avg_pool2d": lambda: nn.AvgPool2d(kernel, **window),
            "global_avg_pool": lambda: nn.AdaptiveAvgPool2d(1),
            "dropout": lambda: nn.Dropout(layer["probability"]),
        }
        return simple[op]() if op in simple else None

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleDict()
            with torch.no_grad():
                self.run(torch.zeros(2, *graph["input"]), create=True)

        def run(self, image, create=False):
            values, above = {"input": image}, "input"
            for layer in graph["layers"]:
                inputs = [values[name] for name in layer.get("inputs", [above])]
                if create and (module := layer_module(layer, inputs[0].shape)) is not None:
                    self.parts[layer["name"]] = module
                if layer["op"] == "add":
                    output = sum(inputs[1:], inputs[0])
                elif layer["op"] == "multiply":
                    output = inputs[0] * inputs[1]
                elif layer["op"] == "concat":
                    output = torch.cat(inputs, 1)
                else:
                    output = self.parts[layer["name"]](inputs[0])
                above = layer["name"]
                values[above] = output
            return values[above]

        def forward(self, image):
            return self.run(image)

    return Network()


def tensors(network):
    """Name and tensor in the order of the layers, each layer's as Ferrotype has them."""
    for name, module in network.parts.items():
        for suffix in ("weight", "bias", "running_mean", "running_var", "gamma"):
            tensor = getattr(module, suffix, None)
            if tensor is not None:
                yield f"{name}.{suffix}", tensor
        if hasattr(module, "own"):
            yield name, module.own


def fill(network):
    """Gives every tensor its pattern; the tests do the same."""
    import torch

    with torch.no_grad():
        for seed, (name, tensor) in enumerate(tensors(network), start=1):
            noise = torch.from_numpy(pattern(tensor.numel(), seed)).reshape(tensor.shape)
            if name.endswith("running_var"):
                tensor.copy_(1 + 0.25 * noise.abs())
            elif tensor.dim() == 1 and name.endswith("weight"):
                tensor.copy_(1 + 0.25 * noise)
            elif not is_weight(name, tensor):
                tensor.copy_(0.25 * noise)
            else:
                # A power of two near 2/sqrt(fan_in), so that the product is exact.
                fan_in = tensor.numel() // tensor.shape[0]
                tensor.copy_(noise * 2.0 ** round(math.log2(2 / math.sqrt(fan_in))))


def is_weight(name, tensor):
    """Whether it is the weight of a convolution or a linear layer: those decay."""
    return name.endswith(".weight") and tensor.dim() > 1


def numbers(tensor):
    return [float(value) for value in tensor.detach().flatten()]


def samples(tensor):
    """A norm and a few entries: enough to tell tensors apart."""
    values = tensor.detach().flatten().double()
    step = max(1, len(values) // 7)
    return {"norm": float(values.norm()), "step": step, "values": [float(v) for v in values[::step]]}


def case(name, layers, side, classes):
    import torch
    from torch import nn

    torch.use_deterministic_algorithms(True)
    graph = {"name": name, "input": [3, side, side], "layers": layers}
    images = torch.from_numpy(pattern(BATCH * 3 * side * side, 999)).reshape(BATCH, 3, side, side)
    labels = torch.arange(BATCH) % classes
    loss_of = nn.CrossEntropyLoss()
    network = build(graph)
    fill(network)
    network.eval()
    result = {"torch": torch.__version__.split("+")[0], "graph": graph, "classes": classes, "batch": BATCH}
    result["logits"] = numbers(network(images))
    network.train()
    loss = loss_of(network(images), labels)
    loss.backward()
    result["loss"] = float(loss.detach())
    result["gradients"] = {n: samples(t.grad) for n, t in tensors(network) if t.requires_grad}
    decays = [t for n, t in tensors(network) if t.requires_grad and is_weight(n, t)]
    rest = [t for n, t in tensors(network) if t.requires_grad and not is_weight(n, t)]

    def groups():
        # Anew for each optimiser: it keeps its settings in them.
        return [{"params": decays, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]

    optimizers = {
        "adamw": lambda: torch.optim.AdamW(groups(), lr=0.003, betas=(0.9, 0.99), eps=1e-8),
        "sgd": lambda: torch.optim.SGD(groups(), lr=0.02, momentum=0.9),
        "nesterov": lambda: torch.optim.SGD(groups(), lr=0.02, momentum=0.9, nesterov=True),
    }
    result["courses"] = {}
    for optimizer_name, make in optimizers.items():
        fill(network)
        optimizer = make()
        losses, norms = [], []
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss = loss_of(network(images), labels)
            loss.backward()
            norms.append(float(nn.utils.clip_grad_norm_(decays + rest, 1.0)))
            optimizer.step()
            losses.append(float(loss.detach()))
        network.eval()
        course = {"losses": losses, "gradient_norms": norms, "logits": numbers(network(images))}
        course["tensors"] = {n: samples(t) for n, t in tensors(network)}
        result["courses"][optimizer_name] = course
        network.train()
    GOLDEN.mkdir(parents=True, exist_ok=True)
    (GOLDEN / f"{name}.json").write_text(json.dumps(result, indent=None, separators=(",", ":")) + "\n")
    print(f"wrote {GOLDEN / name}.json")


def loss_cases():
    """Losses and their gradients by the logits, for every kind of target."""
    import torch
    from torch.nn import functional

    rows, classes = 5, 4
    logits = torch.from_numpy(4 * pattern(rows * classes, 11)).reshape(rows, classes)
    labels = torch.arange(rows) * 3 % classes
    weights = torch.tensor([0.5, 2.0, 1.0, 0.0], dtype=torch.float64)
    shares = torch.from_numpy(pattern(rows * classes, 12)).reshape(rows, classes).abs().double()
    shares = (shares / shares.sum(1, keepdim=True)).float()
    flags = (torch.from_numpy(pattern(rows * classes, 13)).reshape(rows, classes) > 0).float()
    for kind in ("classes", "shares", "independent"):
        for smoothing in (0.0, 0.1):
            for weight in (None, weights):
                x = logits.double().requires_grad_()
                if kind == "independent":
                    if smoothing:
                        continue
                    targets = flags
                    loss = functional.binary_cross_entropy_with_logits(x, flags.double(), pos_weight=weight)
                else:
                    targets = labels if kind == "classes" else shares
                    target = labels if kind == "classes" else shares.double()
                    loss = functional.cross_entropy(x, target, weight=weight, label_smoothing=smoothing)
                loss.backward()
                yield {
                    "targets": kind,
                    "values": [float(t) for t in targets.flatten()],
                    "classes": classes,
                    "logits": numbers(logits),
                    "label_smoothing": smoothing,
                    "class_weights": None if weight is None else numbers(weight),
                    "loss": float(loss.detach()),
                    "gradient": numbers(x.grad),
                }


def schedule_cases():
    """Learning rates and momenta of OneCycleLR, learning rates of ReduceLROnPlateau."""
    import torch
    from torch.optim import lr_scheduler

    def sgd(lr):
        return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.9)

    cycles = []
    for epochs, steps_in_epoch in ((3, 10), (1, 7), (20, 1)):
        optimizer = sgd(0.1)
        total = epochs * steps_in_epoch
        schedule = lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=total)
        rates, momenta = [], []
        for _ in range(total):
            rates.append(optimizer.param_groups[0]["lr"])
            momenta.append(optimizer.param_groups[0]["momentum"])
            optimizer.step()
            if len(rates) < total:
                schedule.step()
        cycles.append({"epochs": epochs, "steps_in_epoch": steps_in_epoch, "rates": rates, "momenta": momenta})
    values = [0.5, 0.6, 0.6, 0.60001, 0.59, 0.6, 0.61, 0.61, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.62, 0.5, 0.5, 0.5]
    plateaus = []
    for mode in ("max", "min"):
        for patience, cooldown, minimum in ((2, 0, 0.0), (1, 2, 0.002), (0, 0, 0.0)):
            optimizer = sgd(0.1)
            schedule = lr_scheduler.ReduceLROnPlateau(
                optimizer, mode=mode, factor=0.3, patience=patience, threshold=1e-4, cooldown=cooldown, min_lr=minimum
            )
            rates = []
            for value in values:
                schedule.step(value)
                rates.append(optimizer.param_groups[0]["lr"])
            plateaus.append(
                {"mode": mode, "patience": patience, "cooldown": cooldown, "minimum": minimum, "rates": rates}
            )
    return {"cycles": cycles, "values": values, "plateaus": plateaus}


def frozen_course():
    """A few steps with frozen layers, a rate for each layer, accumulation and an average."""
    import torch
    from torch import nn

    graph = {"name": "mixed", "input": [3, 11, 11], "layers": mixed(3)}
    images = torch.from_numpy(pattern(BATCH * 3 * 11 * 11, 999)).reshape(BATCH, 3, 11, 11)
    labels = torch.arange(BATCH) % 3
    network = build(graph)
    fill(network)
    network.train()
    frozen = ("stem", "stem_norm", "expand", "expand_norm", "project")
    groups = []
    for name, module in network.parts.items():
        if name in frozen:
            module.eval()
            module.requires_grad_(False)
            continue
        rate = 0.003 * (0.25 if name.startswith("depthwise") else 1.0)
        for tensor in module.parameters(recurse=False):
            groups.append({"params": [tensor], "lr": rate, "weight_decay": 0.05 if tensor.dim() > 1 else 0.0})
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99), eps=1e-8)
    average = {name: tensor.detach().clone() for name, tensor in tensors(network)}
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        # Two batches of four and two images make one update: the mean over its images.
        for start, end in ((0, 4), (4, 6)):
            loss = nn.functional.cross_entropy(network(images[start:end]), labels[start:end])
            (loss * (end - start) / BATCH).backward()
            losses.append(float(loss.detach()))
        optimizer.step()
        for name, tensor in tensors(network):
            average[name].mul_(0.75).add_(tensor.detach(), alpha=0.25)
    return {
        "graph": graph,
        "frozen": list(frozen),
        "losses": losses,
        "tensors": {name: samples(tensor) for name, tensor in tensors(network)},
        "averages": {name: samples(tensor) for name, tensor in average.items() if name.split(".")[0] not in frozen},
    }


def recipe():
    import torch

    result = {
        "torch": torch.__version__.split("+")[0],
        "losses": list(loss_cases()),
        "schedules": schedule_cases(),
        "frozen": frozen_course(),
    }
    (GOLDEN / "recipe.json").write_text(json.dumps(result, indent=None, separators=(",", ":")) + "\n")
    print(f"wrote {GOLDEN}/recipe.json")


def check_onnx(folder):
    """Every output of every file within 1e-4 * (1 + largest)."""
    import onnxruntime

    files = sorted(pathlib.Path(folder).glob("*.onnx"))
    for file in files:
        expected = json.loads(file.with_suffix(".json").read_text())
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        image = numpy.array(expected["images"], numpy.float32).reshape(expected["shape"])
        outputs = session.run(["logits", "embedding"], {"input": image})
        logits = numpy.array(expected["logits"], numpy.float32).reshape(outputs[0].shape)
        worst = float(numpy.abs(outputs[0] - logits).max())
        limit = 1e-4 * (1 + float(numpy.abs(logits).max()))
        assert worst <= limit, f"{file.name}: {worst} > {limit}"
        assert outputs[1].shape == (len(image), expected["features"]), outputs[1].shape
        keys = session.get_modelmeta().custom_metadata_map
        assert {"ferrotype.manifest", "ferrotype.graph"} <= set(keys), keys
        print(f"{file.name}: largest difference {worst:.2e}")
    print(f"onnxruntime {onnxruntime.__version__}: {len(files)} files agree")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments == ["golden"]:
        case("baseline", baseline(4), 16, 4)
        case("mixed", mixed(3), 11, 3)
        case("tokens", tokens(3), 10, 3)
        recipe()
    elif len(arguments) == 2 and arguments[0] == "check-onnx":
        check_onnx(arguments[1])
    else:
        sys.exit(__doc__)
