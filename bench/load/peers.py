"""The peers of bench/load: from JPEG files to augmented, normalised batches of 32.

    python peers.py VARIANT DIR THREADS [SIDE]

For each line on standard input, loads every file below DIR once and prints images/s. Variants:

    pillow_loop, pillow_loader            torchvision v2 on Pillow images; a thread pool, a DataLoader
    tensor_loop, tensor_loader            torchvision.io's JPEG decoder, v2 on tensors
    albumentations_loop, albumentations_loader   OpenCV and Albumentations

A loop runs THREADS threads (one: no pool), a loader THREADS worker processes.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

variant, folder, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
side = int(sys.argv[4]) if len(sys.argv) > 4 else 224
library, style = variant.split("_")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 32
files = sorted(str(path) for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
torch.set_num_threads(1)

if library == "albumentations":
    import albumentations as A
    import cv2
    from albumentations.pytorch import ToTensorV2

    cv2.setNumThreads(0)
    transform = A.Compose([
        # The only interpolation of OpenCV that is antialiased.
        A.Resize(side, side, interpolation=cv2.INTER_AREA),
        A.HorizontalFlip(p=0.5),
        A.ColorJitter(brightness=(0.8, 1.2), contrast=(0.8, 1.2), saturation=(0.8, 1.2), hue=(0, 0), p=1.0),
        A.Normalize(MEAN, STD),
        ToTensorV2(),
    ])

    def load(path):
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB)
        return transform(image=image)["image"]
else:
    from PIL import Image
    from torchvision.io import ImageReadMode, decode_image, read_file
    from torchvision.transforms import v2

    steps = [
        v2.Resize((side, side), antialias=True),
        v2.RandomHorizontalFlip(0.5),
        v2.ColorJitter(0.2, 0.2, 0.2),
    ]
    to_tensor = [v2.PILToTensor()] if library == "pillow" else []
    transform = v2.Compose(steps + to_tensor + [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])

    def load(path):
        if library == "pillow":
            with Image.open(path) as image:
                return transform(image.convert("RGB"))
        return transform(decode_image(read_file(path), ImageReadMode.RGB))


class Files(Dataset):
    def __len__(self):
        return len(files)

    def __getitem__(self, index):
        return load(files[index]), 0


def batches_of_a_loop(pool):
    order = torch.randperm(len(files)).tolist()
    for start in range(0, len(order), BATCH):
        paths = [files[index] for index in order[start:start + BATCH]]
        yield torch.stack(list((pool.map if pool else map)(load, paths)))


if __name__ == "__main__":
    if style == "loader":
        loader = DataLoader(Files(), BATCH, shuffle=True, num_workers=threads, persistent_workers=True, prefetch_factor=4)
    pool = ThreadPoolExecutor(threads) if style == "loop" and threads > 1 else None
    for _ in sys.stdin:
        started = time.perf_counter()
        batches = (images for images, _ in loader) if style == "loader" else batches_of_a_loop(pool)
        count = sum(len(images) for images in batches)
        print(f"{count / (time.perf_counter() - started):.1f}", flush=True)
