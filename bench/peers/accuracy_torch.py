"""One training of the accuracy comparison in PyTorch; `accuracy.py` starts it.

    python bench/peers/accuracy_torch.py --task task.json --seed 0 --out result.json

The task has the image lists, the net and the recipe. Images are decoded and resized once and stay in
memory as bytes; augmentation is done on the whole batch. Adam's fused form and channels-last memory,
which are PyTorch's fastest here (`bench/train/run.py`).
"""

import argparse
import json
import math
import multiprocessing.pool
import pathlib
import time

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import nn
from torch.nn import functional


def decode(path, pixels):
    """`[3, pixels, pixels]` bytes: upright, RGB, stretched with an antialiased bilinear filter."""
    with Image.open(path) as image:
        image = ImageOps.exif_transpose(image).convert("RGB")
        image = image.resize((pixels, pixels), Image.Resampling.BILINEAR)
        return np.asarray(image).transpose(2, 0, 1)


def load(task, split, threads):
    """All images of a split as bytes `[n, 3, pixels, pixels]`, and their classes."""
    root, entries = pathlib.Path(task["root"]), task["splits"][split]
    with multiprocessing.pool.ThreadPool(threads) as pool:
        images = pool.map(lambda entry: decode(root / entry["path"], task["pixels"]), entries)
    labels = torch.tensor([entry["class"] for entry in entries])
    return torch.from_numpy(np.stack(images)), labels


def shifted(images, padding, generator):
    """A window at a random place of each image, which is padded by reflection."""
    count, _, height, width = images.shape
    padded = functional.pad(images, [padding] * 4, mode="reflect")
    offsets = torch.randint(0, 2 * padding + 1, (2, count, 1), generator=generator)
    rows = (offsets[0] + torch.arange(height))[:, None, :, None]
    columns = (offsets[1] + torch.arange(width))[:, None, None, :]
    image = torch.arange(count)[:, None, None, None]
    channel = torch.arange(3)[None, :, None, None]
    return padded[image, channel, rows, columns]


def luma(images):
    weights = torch.tensor([0.2989, 0.587, 0.114])[None, :, None, None]
    return (images * weights).sum(1, keepdim=True)


def jittered(images, augment, generator):
    """Brightness, contrast and saturation by a factor for each image, in random order."""

    def factors(spread):
        drawn = torch.rand(len(images), 1, 1, 1, generator=generator)
        return 1 - spread + 2 * spread * drawn

    names = ["brightness", "contrast", "saturation"]
    for index in torch.randperm(3, generator=generator).tolist():
        spread = augment[names[index]]
        if spread == 0:
            continue
        factor = factors(spread)
        anchor = 0.0
        if names[index] == "contrast":
            anchor = luma(images).mean(dim=(1, 2, 3), keepdim=True)
        elif names[index] == "saturation":
            anchor = luma(images)
        images = (factor * images + (1 - factor) * anchor).clamp(0, 1)
    return images


def augmented(images, augment, generator):
    """A batch of values in 0 to 1, changed at random."""
    if augment["crop_padding"]:
        images = shifted(images, augment["crop_padding"], generator)
    for axis, name in [(3, "horizontal_flip"), (2, "vertical_flip")]:
        chosen = torch.rand(len(images), generator=generator) < augment[name]
        images = torch.where(chosen[:, None, None, None], images.flip(axis), images)
    return jittered(images, augment, generator)


def baseline(classes):
    """Ferrotype's default architecture (`crates/core/src/graph/zoo.rs`)."""
    layers = []
    for inputs, outputs in [(3, 32), (32, 64), (64, 128)]:
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
    head = [nn.Linear(128, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, classes)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), *head)
    for layer in model:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return model


def build(net, classes):
    if net == "baseline":
        return baseline(classes)
    import torchvision

    return getattr(torchvision.models, net)(weights=None, num_classes=classes)


def optimizer_of(model, recipe):
    """AdamW without decay of biases and normalisation."""
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    plain = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe["weight_decay"]}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe["learning_rate"], fused=True)


def schedule_of(recipe, steps_in_epoch):
    """The factor of the learning rate at a step: linear warm-up, then half a cosine to zero."""
    warm_up = recipe["warmup_epochs"] * steps_in_epoch
    total = recipe["epochs"] * steps_in_epoch

    def factor(step):
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, total - warm_up)))

    return factor


class Training:
    """A net, its data and its recipe."""

    def __init__(self, task, seed, threads):
        self.task, self.recipe = task, task["recipe"]
        self.generator = torch.Generator().manual_seed(seed)
        self.images, self.labels = load(task, "train", threads)
        self.mean = torch.tensor(task["mean"])[None, :, None, None]
        self.std = torch.tensor(task["std"])[None, :, None, None]
        self.model = build(task["net"], len(task["classes"])).to(memory_format=torch.channels_last)
        batch = self.recipe["batch_size"]
        # One image alone has no variance for batch norm.
        self.count = len(self.images) - (1 if len(self.images) % batch == 1 else 0)
        self.steps_in_epoch = math.ceil(self.count / batch)
        self.optimizer = optimizer_of(self.model, self.recipe)
        factor = schedule_of(self.recipe, self.steps_in_epoch)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, factor)

    def inputs(self, images):
        return ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def epoch(self):
        self.model.train()
        order = torch.randperm(len(self.images), generator=self.generator)[: self.count]
        for chosen in order.split(self.recipe["batch_size"]):
            images = augmented(self.images[chosen].float() / 255, self.task["augment"], self.generator)
            logits = self.model(self.inputs(images))
            smoothing = self.recipe["label_smoothing"]
            loss = functional.cross_entropy(logits, self.labels[chosen], label_smoothing=smoothing)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if self.recipe["gradient_clip"] is not None:
                nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe["gradient_clip"])
            self.optimizer.step()
            self.scheduler.step()

    @torch.inference_mode()
    def probabilities(self, images):
        self.model.eval()
        logits = [self.model(self.inputs(part.float() / 255)) for part in images.split(64)]
        return torch.cat(logits).softmax(1)


def scores(probabilities, labels):
    from sklearn import metrics

    predicted = probabilities.argmax(1)
    binary = probabilities.shape[1] == 2
    ranked = probabilities[:, 1] if binary else probabilities / probabilities.sum(1, keepdims=True)
    extra = {} if binary else {"multi_class": "ovr", "average": "macro"}
    return {
        "accuracy": float((predicted == labels).mean()),
        "macro_f1": float(metrics.f1_score(labels, predicted, average="macro")),
        "auroc": float(metrics.roc_auc_score(labels, ranked, **extra)),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    task = json.loads(arguments.task.read_text())
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)

    training = Training(task, arguments.seed, arguments.threads)
    images, labels = load(task, "val", arguments.threads)
    best, epochs, began = None, [], time.perf_counter()
    for epoch in range(1, task["recipe"]["epochs"] + 1):
        training.epoch()
        accuracy = (training.probabilities(images).argmax(1) == labels).float().mean().item()
        epochs.append({"epoch": epoch, "val_accuracy": accuracy, "seconds": time.perf_counter() - began})
        if best is None or accuracy > best["val_accuracy"]:
            state = {name: tensor.clone() for name, tensor in training.model.state_dict().items()}
            best = {"epoch": epoch, "val_accuracy": accuracy}
    train_seconds = time.perf_counter() - began

    result = {"best": best, "train_seconds": train_seconds, "epochs": epochs}
    if task["test"]:
        training.model.load_state_dict(state)
        images, labels = load(task, "test", arguments.threads)
        result["test"] = scores(training.probabilities(images).double().numpy(), labels.numpy())
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
