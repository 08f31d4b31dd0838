"""Images a second of Albumentations with OpenCV on one thread, for the cases of
`crates/vision/examples/augment.rs`, on the same image. Prints `case<TAB>images a second`."""

import random
import sys
import time
import warnings

import cv2
import numpy as np

warnings.filterwarnings("ignore")
cv2.setNumThreads(1)
import albumentations as A  # noqa: E402

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 0.2


def picture(width, height):
    y, x = np.mgrid[0:height, 0:width]
    planes = []
    for c in range(3):
        wave = (x * (3 + c) + y * (5 - c) + (x * y // 64) * (c + 1)) % 510
        planes.append(np.minimum(np.minimum(wave, 510 - wave), 255).astype(np.uint8))
    return np.ascontiguousarray(np.stack(planes, axis=-1))


def jitter():
    return A.ColorJitter(brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.6, 1.4), hue=(-0.1, 0.1), p=1)


def usual(area):
    return [
        A.RandomResizedCrop((224, 224), area_for_downscale=area),
        A.HorizontalFlip(p=0.5),
        jitter(),
        A.Rotate(limit=15, p=1),
        A.GaussianBlur(sigma_limit=(0.5, 2.0), p=1),
    ]


PHOTO, TILE = (500, 375), (224, 224)
CASES = {
    "usual pipeline": (PHOTO, usual(None)),
    "usual, smooth crop": (PHOTO, usual("image")),
    "random_resized_crop": (PHOTO, [A.RandomResizedCrop((224, 224))]),
    "horizontal_flip": (TILE, [A.HorizontalFlip(p=1)]),
    "rotate": (TILE, [A.Rotate(limit=15, p=1)]),
    "perspective": (TILE, [A.Perspective(p=1)]),
    "color_jitter": (TILE, [jitter()]),
    "brightness_contrast": (TILE, [A.RandomBrightnessContrast(p=1)]),
    "hue_saturation_value": (TILE, [A.HueSaturationValue(p=1)]),
    "gaussian_blur": (TILE, [A.GaussianBlur(sigma_limit=(0.5, 2.0), p=1)]),
    "motion_blur": (TILE, [A.MotionBlur(p=1)]),
    "median_blur 5": (TILE, [A.MedianBlur(blur_limit=(5, 5), p=1)]),
    "gauss_noise": (TILE, [A.GaussNoise(p=1)]),
    "clahe": (TILE, [A.CLAHE(p=1)]),
    "equalize": (TILE, [A.Equalize(p=1)]),
    "sharpen": (TILE, [A.Sharpen(p=1)]),
    "image_compression": (TILE, [A.ImageCompression(quality_range=(50, 90), p=1)]),
    "coarse_dropout": (TILE, [A.CoarseDropout(p=1)]),
    "grid_distortion": (TILE, [A.GridDistortion(p=1)]),
    "elastic_transform": (TILE, [A.ElasticTransform(alpha=300, sigma=10, p=1)]),
}

random.seed(7)
for name, (size, transforms) in CASES.items():
    image = picture(*size)
    compose = A.Compose(transforms, seed=7)
    for _ in range(5):
        compose(image=image)
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < SECONDS:
        compose(image=image)
        count += 1
    print(f"{name}\t{count / (time.perf_counter() - begin):.1f}")
