"""The peer of `bench/train`: a PyTorch training step of one net, in one variant, on command.

A long-lived process, so that turns of several processes can be interleaved without paying for the
import each time. It prints one JSON object a line: first `ready`, then for each line `run N` that it
reads the times of N steps; `quit` or the end of the input ends it. While it waits it is asleep.

    echo 'run 5' | python bench/train/peer.py --net small_cnn --layout channels_last --optimizer fused

A step is forward, mean cross-entropy, backward and AdamW's update, on one batch that stays in memory.
"""

import argparse
import json
import sys
import time

import torch
from torch import nn

# Pixels of a side and images of a batch, as `crates/engine/benches/train_step.rs` has them.
SHAPES = {
    "small_cnn": (64, 64),
    "baseline": (224, 32),
    "resnet18": (64, 32),
    "vgg16": (64, 16),
    "mobilenet_v2": (96, 32),
}
CLASSES = 10


def small_cnn(side):
    layers = []
    for inputs, outputs in [(3, 32), (32, 64), (64, 128)]:
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    features = 128 * (side // 8) ** 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 256), nn.ReLU(), nn.Linear(256, CLASSES))


def baseline():
    """Ferrotype's default architecture (`crates/core/src/graph/zoo.rs`)."""
    layers = []
    for inputs, outputs in [(3, 32), (32, 64), (64, 128)]:
        layers += [
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
    head = [nn.Linear(128, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, CLASSES)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), *head)


def build(net, side):
    if net == "small_cnn":
        return small_cnn(side)
    if net == "baseline":
        return baseline()
    import torchvision

    return getattr(torchvision.models, net)(weights=None, num_classes=CLASSES)


def resident_mb(field):
    """`VmHWM` (the highest) or `VmRSS` (now) of this process, in MB."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith(field))
    return int(line.split()[1]) * 1024 / 1e6


def say(**fields):
    print(json.dumps(fields), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=SHAPES, required=True)
    parser.add_argument("--layout", choices=["eager", "channels_last"], default="eager")
    parser.add_argument("--optimizer", choices=["fused", "foreach"], default="fused")
    parser.add_argument("--side", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--device", default="cpu", help="`cpu`, or `cuda`: the batch is then copied there in each step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warm-up", type=int, default=3, help="steps before `ready`")
    parser.add_argument("--clip", type=float, help="largest global norm of the gradients; absent: no clipping")
    arguments = parser.parse_args()
    side = arguments.side or SHAPES[arguments.net][0]
    batch = arguments.batch or SHAPES[arguments.net][1]

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    memory_format = torch.channels_last if arguments.layout == "channels_last" else torch.contiguous_format
    device = torch.device(arguments.device)
    model = build(arguments.net, side).to(device, memory_format=memory_format).train()
    choice = {arguments.optimizer: True}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, **choice)
    images = torch.randn(batch, 3, side, side).to(memory_format=memory_format)
    labels = torch.arange(batch) % CLASSES
    if device.type == "cuda":
        images, labels = images.pin_memory(), labels.pin_memory()

    def step():
        inputs, targets = (tensor.to(device, non_blocking=True) for tensor in (images, labels))
        loss = nn.functional.cross_entropy(model(inputs), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if arguments.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), arguments.clip)
        optimizer.step()
        return loss

    resident_before_mb = resident_mb("VmRSS")
    for _ in range(arguments.warm_up):
        step()
    say(
        event="ready",
        side=f"pytorch {torch.__version__}",
        variant=f"{arguments.layout}, {arguments.optimizer}",
        net=arguments.net,
        pixels=side,
        batch=batch,
        threads=torch.get_num_threads(),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        resident_before_mb=round(resident_before_mb, 1),
    )
    for line in sys.stdin:
        command, *rest = line.split() or [""]
        if command == "quit":
            break
        if command != "run" or len(rest) != 1 or not rest[0].isdecimal():
            say(event="error", message=f"expected `run N` or `quit`, got `{line.strip()}`")
            continue
        milliseconds = []
        for _ in range(int(rest[0])):
            began = time.perf_counter()
            # Reading the loss is part of a step: both sides answer with it.
            loss = step().item()
            milliseconds.append(round((time.perf_counter() - began) * 1e3, 3))
        say(event="steps", milliseconds=milliseconds, loss=loss, peak_mb=round(resident_mb("VmHWM"), 1))


if __name__ == "__main__":
    main()
