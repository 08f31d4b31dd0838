"""Writes the networks of `bench/infer/run.py` as ONNX files with weights drawn at random.

    python tools/export_networks.py FOLDER [NAME ...]

The detector has the shape of YOLOv8n (channels, blocks and outputs as its paper and model card tell
them), written here from that description.
"""

import argparse
import pathlib

import torch
import torchvision
from torch import nn


def convolution(inputs, outputs, kernel=1, stride=1):
    """A convolution with batch norm and SiLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3),
        nn.SiLU(),
    )


class Bottleneck(nn.Module):
    """Two 3x3 convolutions, with a shortcut or without."""

    def __init__(self, channels, shortcut):
        super().__init__()
        self.first = convolution(channels, channels, 3)
        self.second = convolution(channels, channels, 3)
        self.shortcut = shortcut

    def forward(self, x):
        y = self.second(self.first(x))
        return x + y if self.shortcut else y


class Stage(nn.Module):
    """A convolution split in two halves; the second runs through bottlenecks, and all are joined."""

    def __init__(self, inputs, outputs, depth, shortcut):
        super().__init__()
        half = outputs // 2
        self.enter = convolution(inputs, outputs)
        self.blocks = nn.ModuleList(Bottleneck(half, shortcut) for _ in range(depth))
        self.leave = convolution((2 + depth) * half, outputs)

    def forward(self, x):
        parts = list(self.enter(x).chunk(2, 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return self.leave(torch.cat(parts, 1))


class Pyramid(nn.Module):
    """Spatial pyramid pooling by three poolings in a row."""

    def __init__(self, channels):
        super().__init__()
        self.enter = convolution(channels, channels // 2)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.leave = convolution(channels * 2, channels)

    def forward(self, x):
        parts = [self.enter(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.leave(torch.cat(parts, 1))


class Detector(nn.Module):
    """The shape of YOLOv8n: backbone, two-way pyramid, three heads with distributed boxes."""

    CLASSES, BINS = 80, 16

    def __init__(self, side=640):
        super().__init__()
        self.stem = nn.Sequential(convolution(3, 16, 3, 2), convolution(16, 32, 3, 2), Stage(32, 32, 1, True))
        self.third = nn.Sequential(convolution(32, 64, 3, 2), Stage(64, 64, 2, True))
        self.fourth = nn.Sequential(convolution(64, 128, 3, 2), Stage(128, 128, 2, True))
        self.fifth = nn.Sequential(convolution(128, 256, 3, 2), Stage(256, 256, 1, True), Pyramid(256))
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.top_down = nn.ModuleList([Stage(384, 128, 1, False), Stage(192, 64, 1, False)])
        self.down = nn.ModuleList([convolution(64, 64, 3, 2), convolution(128, 128, 3, 2)])
        self.bottom_up = nn.ModuleList([Stage(192, 128, 1, False), Stage(384, 256, 1, False)])
        levels = [64, 128, 256]
        self.boxes = nn.ModuleList(self._head(level, 64, 4 * self.BINS) for level in levels)
        self.scores = nn.ModuleList(self._head(level, 80, self.CLASSES) for level in levels)
        self.expectation = nn.Conv2d(self.BINS, 1, 1, bias=False)
        self.expectation.weight.data[:] = torch.arange(self.BINS, dtype=torch.float32).view(1, -1, 1, 1)
        points, strides = [], []
        for stride in (8, 16, 32):
            count = side // stride
            y, x = torch.meshgrid(torch.arange(count) + 0.5, torch.arange(count) + 0.5, indexing="ij")
            points.append(torch.stack((x, y), -1).view(-1, 2))
            strides.append(torch.full((count * count, 1), float(stride)))
        self.register_buffer("points", torch.cat(points).transpose(0, 1).unsqueeze(0))
        self.register_buffer("strides", torch.cat(strides).transpose(0, 1))

    @staticmethod
    def _head(inputs, channels, outputs):
        return nn.Sequential(
            convolution(inputs, channels, 3), convolution(channels, channels, 3), nn.Conv2d(channels, outputs, 1)
        )

    def forward(self, x):
        third = self.third(self.stem(x))
        fourth = self.fourth(third)
        fifth = self.fifth(fourth)
        middle = self.top_down[0](torch.cat((self.up(fifth), fourth), 1))
        small = self.top_down[1](torch.cat((self.up(middle), third), 1))
        medium = self.bottom_up[0](torch.cat((self.down[0](small), middle), 1))
        large = self.bottom_up[1](torch.cat((self.down[1](medium), fifth), 1))
        levels = [small, medium, large]
        outputs = 4 * self.BINS + self.CLASSES
        joined = torch.cat(
            [
                torch.cat((boxes(level), scores(level)), 1).view(level.shape[0], outputs, -1)
                for level, boxes, scores in zip(levels, self.boxes, self.scores)
            ],
            2,
        )
        boxes, scores = joined.split((4 * self.BINS, self.CLASSES), 1)
        batch, _, count = boxes.shape
        bins = boxes.view(batch, 4, self.BINS, count).transpose(2, 1).softmax(1)
        distances = self.expectation(bins).view(batch, 4, count)
        near, far = distances.chunk(2, 1)
        begin, end = self.points - near, self.points + far
        return torch.cat((torch.cat(((begin + end) / 2, end - begin), 1) * self.strides, scores.sigmoid()), 1)


def small_cnn():
    """The tutorial network: three convolutions, two linear layers."""
    layers, inputs = [], 3
    for outputs in (32, 64, 128):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        inputs = outputs
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 8 * 8, 256), nn.ReLU(), nn.Linear(256, 10))


NETWORKS = {
    "small_cnn": (small_cnn, 64),
    "resnet18": (lambda: torchvision.models.resnet18(), 224),
    "vgg16": (lambda: torchvision.models.vgg16(), 224),
    "mobilenet_v2": (lambda: torchvision.models.mobilenet_v2(), 224),
    "mobilenet_v3": (lambda: torchvision.models.mobilenet_v3_large(), 224),
    "efficientnet_b0": (lambda: torchvision.models.efficientnet_b0(), 224),
    "yolov8n_shaped": (Detector, 640),
}


def settle(network, side):
    """Gives each batch norm the statistics of noise, so that numbers neither vanish nor explode."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    network.train()
    with torch.no_grad():
        network(torch.randn(4, 3, side, side))
    return network.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("names", nargs="*", default=list(NETWORKS))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.names:
        torch.manual_seed(1)
        make, side = NETWORKS[name]
        network = settle(make(), side)
        torch.onnx.export(
            network,
            (torch.randn(2, 3, side, side),),
            str(arguments.folder / f"{name}.onnx"),
            input_names=["image"],
            output_names=["output"],
            dynamic_axes={"image": {0: "batch"}, "output": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )
        print(name)


if __name__ == "__main__":
    main()
