"""The peer: the baseline CNN in PyTorch, eager and channels-last; prints images/s of training steps.

    python pytorch_baseline.py --size 64 --batch 32 --steps 30 --threads 2
"""

import argparse
import time

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--size", type=int, default=64)
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--steps", type=int, default=30)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--classes", type=int, default=6)
arguments = parser.parse_args()
torch.set_num_threads(arguments.threads)
torch.manual_seed(0)


def block(inputs, outputs):
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]


def network():
    return nn.Sequential(
        *block(3, 32), *block(32, 64), *block(64, 128), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(128, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, arguments.classes),
    )


def images_per_second(memory_format):
    model = network().to(memory_format=memory_format)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    images = torch.randn(arguments.batch, 3, arguments.size, arguments.size).to(memory_format=memory_format)
    labels = torch.randint(0, arguments.classes, (arguments.batch,))
    for step in range(arguments.steps + 5):
        if step == 5:
            began = time.perf_counter()
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return arguments.batch * arguments.steps / (time.perf_counter() - began)


eager = images_per_second(torch.contiguous_format)
channels_last = images_per_second(torch.channels_last)
print(f"RESULT eager {eager:.1f} channels_last {channels_last:.1f}")
