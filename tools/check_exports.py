"""Runs what PyTorch exports of torchvision's and timm's networks on the native executor, beside ONNX Runtime.

    cargo build --release -p ferrotype-inference --example onnx_node
    python tools/check_exports.py target/release/examples/onnx_node FOLDER [NAME ...] [--table FILE]

Weights are drawn at random. The files stay in FOLDER and are made again only if they are missing. Each runs
with 1 and with 3 images; what counts is the largest difference to ONNX Runtime, divided by
1 + the largest number of the output. More than 1e-4 fails. `--exporter dynamo` takes PyTorch's newer exporter
(the package `onnxscript` is needed). Without PyTorch, files that are there are checked.
"""

import argparse
import contextlib
import io
import pathlib
import tempfile
import warnings

import numpy
import onnxruntime

from onnx_node_tests import Runner

TORCHVISION = {
    "alexnet": 224, "vgg16_bn": 224, "squeezenet1_1": 224, "densenet121": 224, "googlenet": 224,
    "inception_v3": 299, "mnasnet1_0": 224, "shufflenet_v2_x1_0": 224, "regnet_y_400mf": 224,
    "convnext_tiny": 224, "vit_b_16": 224, "swin_t": 224, "swin_v2_t": 256, "maxvit_t": 224,
    "efficientnet_v2_s": 224, "mobilenet_v3_large": 224, "resnext50_32x4d": 224, "wide_resnet50_2": 224,
    "segmentation.fcn_resnet50": 192, "segmentation.deeplabv3_mobilenet_v3_large": 192,
    "segmentation.lraspp_mobilenet_v3_large": 192,
}
TIMM = {
    "mobilenetv4_conv_small": 224, "repvgg_a0": 224, "ghostnet_100": 224, "edgenext_xx_small": 256,
    "mobilevit_s": 256, "mobilevitv2_050": 256, "fastvit_t8": 256, "levit_128s": 224, "poolformer_s12": 224,
    "rexnet_100": 224, "res2net50_26w_4s": 224, "deit_tiny_patch16_224": 224, "mixer_s16_224": 224,
    "efficientformer_l1": 224, "hrnet_w18_small": 224, "nfnet_f0": 192, "resnetv2_50": 224,
    "tf_efficientnetv2_b0": 192, "tf_mixnet_s": 224, "regnetz_b16": 224, "coatnet_nano_rw_224": 224,
    "convnextv2_atto": 224, "eva02_tiny_patch14_224": 224, "xcit_nano_12_p16_224": 224, "dla34": 224,
    "cspdarknet53": 256, "skresnet18": 224, "resnest14d": 224, "halonet26t": 256, "inception_next_tiny": 224,
}


def made_here(name):
    """Shapes of Ultralytics' networks and a U-Net, written in this repository."""
    import torch
    from torch import nn

    import export_networks

    class Unet(nn.Module):
        """Encoder and decoder with transposed convolutions, as for masks."""

        def __init__(self):
            super().__init__()
            widths = [3, 16, 32, 64]
            self.down = nn.ModuleList(export_networks.convolution(a, b, 3) for a, b in zip(widths, widths[1:]))
            self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in [(32, 64), (16, 32)])
            self.join = nn.ModuleList(export_networks.convolution(2 * a, a, 3) for a in (32, 16))
            self.last = nn.Conv2d(16, 2, 1)

        def forward(self, x):
            kept = []
            for block in self.down:
                x = block(x if not kept else nn.functional.max_pool2d(x, 2))
                kept.append(x)
            for up, join, before in zip(self.up, self.join, (kept[1], kept[0])):
                x = join(torch.cat((up(x), before), 1))
            return self.last(x)

    return {"yolov8n_shaped": lambda: (export_networks.Detector(320), 320), "unet": lambda: (Unet(), 64)}[name]()


def made(name):
    """The network of a name with random weights, and its input's side."""
    import torch
    import torchvision

    torch.manual_seed(1)
    if name.startswith("timm."):
        import timm

        return timm.create_model(name.removeprefix("timm.")), TIMM[name.removeprefix("timm.")]
    if name in TORCHVISION:
        module = torchvision.models
        options = {}
        if name.startswith("segmentation."):
            module, options = torchvision.models.segmentation, {"weights_backbone": None}
        if name in ("googlenet", "inception_v3"):
            options = {"init_weights": False, "aux_logits": False}
        return getattr(module, name.split(".")[-1])(weights=None, **options), TORCHVISION[name]
    return made_here(name)


def export(name, path, is_dynamo):
    """Writes the network as PyTorch's exporter does."""
    import torch

    import export_networks

    # The fused attention of PyTorch has no counterpart in ONNX.
    torch.backends.mha.set_fastpath_enabled(False)
    network, side = made(name)
    with torch.no_grad():
        for parameter in network.parameters():
            # Heads and branches that begin with zeros would tell nothing.
            if parameter.abs().max() < 1e-3:
                parameter.normal_(std=0.05)
    network = export_networks.settle(network, side)
    if name.startswith("segmentation."):

        class Answer(torch.nn.Module):
            def __init__(self, inner):
                super().__init__()
                self.inner = inner

            def forward(self, x):
                return self.inner(x)["out"]

        network = Answer(network)
    images = torch.randn(2, 3, side, side)
    shapes = {"dynamic_axes": {"image": {0: "batch"}, "output": {0: "batch"}}, "opset_version": 17}
    if is_dynamo:
        shapes = {"dynamic_shapes": ({0: torch.export.Dim("batch")},), "external_data": False}
    with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(), (images,), str(path), input_names=["image"], output_names=["output"], dynamo=is_dynamo, **shapes
        )


def check(runner, path):
    """Natively or why not, the largest difference, and whether it is right."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    image, output = session.get_inputs()[0], session.get_outputs()[0].name
    worst = 0.0
    for batch in (1, 3):
        values = numpy.random.default_rng(batch).normal(size=(batch, *image.shape[1:])).astype(numpy.float32)
        try:
            (expected,) = session.run([output], {image.name: values})
        except Exception as error:  # noqa: BLE001: an export that insists on the batch it was made with
            if batch == 1:
                raise
            return f"natively; ONNX Runtime refuses {batch} images", worst, True
        found = runner.run_file(path, image.name, output, values)
        if isinstance(found, str):
            reason = found.split("\t")[-1].removeprefix("the native runtime cannot run the model: ")
            return f"refused: {reason}", None, True
        if found.size != expected.size:
            return f"{found.size} numbers, expected {expected.size}", None, False
        difference = numpy.abs(found - expected.reshape(-1)).max() / (1 + numpy.abs(expected).max())
        worst = max(worst, float(difference))
    return "natively", worst, bool(worst <= 1e-4)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--exporter", choices=["torchscript", "dynamo"], default="torchscript")
    parser.add_argument("--table", type=pathlib.Path)
    parser.add_argument("--export-only", action="store_true")
    arguments = parser.parse_intermixed_args()
    names = arguments.names or [*TORCHVISION, *(f"timm.{name}" for name in TIMM), "yolov8n_shaped", "unet"]
    folder = arguments.folder / arguments.exporter
    folder.mkdir(parents=True, exist_ok=True)
    rows, is_right = [], True
    with tempfile.TemporaryDirectory() as temporary:
        runner = Runner(arguments.binary, pathlib.Path(temporary))
        for name in names:
            path = folder / f"{name}.onnx"
            try:
                if not path.exists():
                    export(name, path, arguments.exporter == "dynamo")
            except Exception as error:  # noqa: BLE001: whatever the exporter stumbles over
                path.unlink(missing_ok=True)
                print(f"{name}: not exported: {type(error).__name__} {str(error).strip().splitlines()[:1]}", flush=True)
                continue
            if arguments.export_only:
                print(name, flush=True)
                continue
            result, difference, right = check(runner, path)
            is_right &= right
            difference = "" if difference is None else f"{difference:.1e}"
            rows.append(f"| {name} | {result} | {difference} |")
            print(f"{'' if right else 'BEYOND THE LIMIT '}{name}: {result} {difference}", flush=True)
    natively = sum("| natively" in row for row in rows)
    print(f"{natively} of {len(rows)} run natively")
    if arguments.table:
        head = "| network | native runtime | largest difference |\n|---|---|---|\n"
        arguments.table.write_text(head + "\n".join(rows) + "\n")
    raise SystemExit(0 if is_right else 1)


if __name__ == "__main__":
    main()
