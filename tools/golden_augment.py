"""Golden files of the augmentations: Albumentations' and torchvision's functions with fixed parameters.

    python tools/golden_augment.py            # writes crates/vision/tests/golden/augment*.tsv

Needs albumentations 2.0.8, opencv-python-headless and torchvision (tools/requirements.txt). The image
is made by a formula that the Rust test repeats (`picture` there).
"""

import math
from pathlib import Path

import albumentations.augmentations.blur.functional as blur
import albumentations.augmentations.dropout.functional as dropout
import albumentations.augmentations.geometric.functional as geometric
import albumentations.augmentations.pixel.functional as pixel
import albumentations.augmentations.crops.functional as crops
import albucore
import cv2
import numpy as np
import torch
from PIL import Image, ImageOps
from albumentations.core.bbox_utils import filter_bboxes
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

torch.set_num_threads(1)
WIDTH, HEIGHT = 33, 24
SHAPE = (HEIGHT, WIDTH)
FILL = (10, 200, 90)
GOLDEN = Path(__file__).parent.parent / "crates/vision/tests/golden"


def picture():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            for c in range(3):
                wave = (x * (9 + 4 * c) + y * (13 - 5 * c) + (x * y // 4) * (c + 1)) % 510
                image[y, x, c] = wave if wave < 256 else 510 - wave
    return image


IMAGE = picture()
BOXES = [(3, 4, 15, 12, 0), (18.5, 10.25, 31, 23, 1), (0, 0, 33, 24, 2), (27, 1, 32.5, 6, 3)]


def affine(rotate=0.0, scale=(1.0, 1.0), shear=(0.0, 0.0), translate=(0, 0), boxes=False):
    center = geometric.center_bbox(SHAPE) if boxes else geometric.center(SHAPE)
    return geometric.create_affine_transformation_matrix(
        dict(zip("xy", translate)), dict(zip("xy", shear)), dict(zip("xy", scale)), rotate, center
    )


def warp(border, **parameters):
    matrix = affine(**parameters)
    return geometric.warp_affine(IMAGE, matrix, cv2.INTER_LINEAR, FILL, border, SHAPE)


CONSTANT, REPLICATE = cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE
REFLECT, REFLECT_101, WRAP = cv2.BORDER_REFLECT, cv2.BORDER_REFLECT_101, cv2.BORDER_WRAP
SHEARED = dict(rotate=30, scale=(0.8, 1.2), shear=(10, -5), translate=(4, -3))
PERSPECTIVE = np.array([[1.1, 0.08, -3.0], [-0.05, 1.2, 1.5], [0.002, -0.001, 1.0]])
STEPS_X, STEPS_Y = [0.8, 1.2, 1.1, 0.7, 1.25], [1.2, 0.75, 1.1, 0.9, 1.05]


def grid():
    steps = geometric.normalize_grid_distortion_steps(SHAPE, 4, list(STEPS_X), list(STEPS_Y))
    return geometric.generate_grid(SHAPE, steps["steps_x"], steps["steps_y"], 4)


def waves():
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    return x + 3 * (x * y % 7) / 7 - 1.5, y + 2 * ((x + 2 * y) % 5) / 5 - 1


def remap(maps, border):
    return geometric.remap(IMAGE, *maps, cv2.INTER_LINEAR, border, FILL)


def jpeg(quality):
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, file = cv2.imencode(".jpg", cv2.cvtColor(IMAGE, cv2.COLOR_RGB2BGR), options)
    return cv2.cvtColor(cv2.imdecode(file, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def torchvision(function, *arguments, **options):
    tensor = torch.from_numpy(IMAGE.transpose(2, 0, 1).copy())
    return function(tensor, *arguments, **options).numpy().transpose(1, 2, 0)


def moved(name, magnitude):
    transform = v2.TrivialAugmentWide()
    return torchvision(
        lambda t: transform._apply_image_or_video_transform(
            t, name, magnitude, tv.InterpolationMode.NEAREST, transform._fill
        )
    )


def sharpened(alpha, lightness):
    kernel = np.full((3, 3), -alpha, np.float32)
    kernel[1, 1] = (1 - alpha) + alpha * (8 + lightness)
    return pixel.convolve(IMAGE, kernel)


def motion(side, angle, direction):
    kernel = blur.create_motion_kernel(side, angle, direction, False, None)
    return pixel.convolve(IMAGE, kernel / kernel.sum())


IMAGES = {
    "horizontal_flip": IMAGE[:, ::-1],
    "vertical_flip": IMAGE[::-1],
    "transpose": geometric.transpose(IMAGE),
    "rot90_1": geometric.rot90(IMAGE, 1),
    "rot90_2": geometric.rot90(IMAGE, 2),
    "rot90_3": geometric.rot90(IMAGE, 3),
    "rotate_constant": warp(CONSTANT, rotate=20),
    "rotate_replicate": warp(REPLICATE, rotate=-75),
    "rotate_reflect": warp(REFLECT, rotate=45),
    "rotate_reflect_101": warp(REFLECT_101, rotate=45),
    "rotate_wrap": warp(WRAP, rotate=200),
    "affine": warp(CONSTANT, **SHEARED),
    "perspective": cv2.warpPerspective(
        IMAGE, PERSPECTIVE, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=CONSTANT, borderValue=FILL
    ),
    "resized_crop": cv2.resize(IMAGE[5:17, 3:25], (30, 28), interpolation=cv2.INTER_LINEAR),
    "resized_crop_antialias": torchvision(
        tv.resized_crop, 2, 3, 22, 30, [9, 13], interpolation=tv.InterpolationMode.BILINEAR, antialias=True
    ),
    "pad_reflect_101": cv2.copyMakeBorder(IMAGE, 4, 4, 4, 4, REFLECT_101)[1:25, 7:40],
    "grid_distortion": remap(grid(), CONSTANT),
    "displacement": remap(waves(), REFLECT_101),
    "optical_distortion": remap(geometric.get_camera_matrix_distortion_maps(SHAPE, 0.3), CONSTANT),
    "brightness_contrast": albucore.multiply_add(IMAGE, 1.3, -20.0),
    "hue_saturation_value": pixel.shift_hsv(IMAGE, 12, -25, 30),
    "hue_saturation_value_back": pixel.shift_hsv(IMAGE, -35.5, 20.25, -10),
    "rgb_shift": albucore.add(IMAGE, np.array([10.7, -20.2, 5], np.float32)),
    "gamma": pixel.gamma_transform(IMAGE, 1.4),
    "to_gray": pixel.to_gray(IMAGE, 3, "weighted_average"),
    "gaussian_blur": pixel.separable_convolve(IMAGE, blur.create_gaussian_kernel_1d(1.2, 0)),
    "gaussian_blur_wide": pixel.separable_convolve(IMAGE, blur.create_gaussian_kernel_1d(3.0, 0)),
    "motion_blur": motion(7, 30.0, 0.3),
    "motion_blur_back": motion(5, 110.0, -0.6),
    "median_3": blur.median_blur(IMAGE, 3),
    "median_5": blur.median_blur(IMAGE, 5),
    "median_7": blur.median_blur(IMAGE, 7),
    "clahe": pixel.clahe(IMAGE, 2.0, (4, 4)),
    "clahe_even": pixel.clahe(IMAGE, 3.5, (4, 2)),
    "equalize_cv": pixel.equalize(IMAGE, mode="cv"),
    # Albumentations' own `pil` counts each value among those below it, Pillow does not.
    "equalize_pil": np.asarray(ImageOps.equalize(Image.fromarray(IMAGE))),
    "posterize": pixel.posterize(IMAGE, 3),
    "solarize": pixel.solarize(IMAGE, 0.5),
    "invert": pixel.invert(IMAGE),
    "sharpen": sharpened(0.4, 0.8),
    "auto_contrast": pixel.auto_contrast(IMAGE // 2 + 30, 0, None, "cdf"),
    "auto_contrast_cutoff": pixel.auto_contrast(IMAGE // 2 + 30, 5, None, "cdf"),
    "jpeg_90": jpeg(90),
    "jpeg_40": jpeg(40),
    "downscale": pixel.downscale(IMAGE, 0.4, cv2.INTER_NEAREST, cv2.INTER_NEAREST),
    "tv_brightness": torchvision(tv.adjust_brightness, 1.3),
    "tv_contrast": torchvision(tv.adjust_contrast, 0.6),
    "tv_saturation": torchvision(tv.adjust_saturation, 1.4),
    "tv_hue": torchvision(tv.adjust_hue, 0.2),
    "tv_hue_back": torchvision(tv.adjust_hue, -0.37),
    "tv_sharper": moved("Sharpness", 0.7),
    "tv_smoother": moved("Sharpness", -0.7),
    "tv_autocontrast": torchvision(tv.autocontrast),
    "tv_equalize": torchvision(tv.equalize),
    "tv_posterize": moved("Posterize", 2),
    "tv_solarize": moved("Solarize", 0.4),
    "tv_shear_x": moved("ShearX", 0.31),
    "tv_shear_y": moved("ShearY", -0.517),
    "tv_translate": moved("TranslateX", -7.6),
    "tv_rotate": moved("Rotate", 33.3),
}


def normalized(boxes=BOXES):
    return np.array([[a / WIDTH, b / HEIGHT, c / WIDTH, d / HEIGHT, label] for a, b, c, d, label in boxes])


def kept(boxes, shape=SHAPE):
    """What Albumentations keeps of them, in pixels."""
    size = {"height": shape[0], "width": shape[1]}
    found = filter_bboxes(boxes, size, min_area=9, min_visibility=0.3, min_width=1, min_height=1)
    scale = np.array([shape[1], shape[0], shape[1], shape[0], 1])
    return [tuple(row) for row in np.asarray(found) * scale] if len(found) else []


def affine_boxes(border, **parameters):
    matrix = affine(boxes=True, **parameters)
    return kept(geometric.bboxes_affine(normalized(), matrix, "largest_box", SHAPE, border, SHAPE))


def perspective_boxes():
    return kept(geometric.perspective_bboxes(normalized(), SHAPE, PERSPECTIVE, WIDTH, HEIGHT, True))


def dropped():
    pixels = normalized() * np.array([WIDTH, HEIGHT, WIDTH, HEIGHT, 1])
    holes = np.array([[0, 0, 12, 20], [21, 8, 33, 18]])
    found = dropout.filter_bboxes_by_holes(pixels, holes, SHAPE, 9, 0.3)
    return [tuple(row) for row in found]


def remapped(maps):
    pixels = normalized() * np.array([WIDTH, HEIGHT, WIDTH, HEIGHT, 1])
    # Albumentations' masks have the row and column after the box too; ours end with it.
    pixels[:, 2:4] -= 1
    found = geometric.remap_bboxes(pixels, *maps, SHAPE).astype(float)
    found[:, 2:4] += 1
    return kept(found / np.array([WIDTH, HEIGHT, WIDTH, HEIGHT, 1]))


BOXED = {
    "horizontal_flip": kept(geometric.bboxes_hflip(normalized())),
    "vertical_flip": kept(geometric.bboxes_vflip(normalized())),
    "transpose": kept(geometric.bboxes_transpose(normalized()), (WIDTH, HEIGHT)),
    "rot90_1": kept(geometric.bboxes_rot90(normalized(), 1), (WIDTH, HEIGHT)),
    "rot90_2": kept(geometric.bboxes_rot90(normalized(), 2)),
    "rot90_3": kept(geometric.bboxes_rot90(normalized(), 3), (WIDTH, HEIGHT)),
    "rotate_constant": affine_boxes(CONSTANT, rotate=20),
    "rotate_reflect": affine_boxes(REFLECT, rotate=45),
    "affine": affine_boxes(CONSTANT, **SHEARED),
    "perspective": perspective_boxes(),
    "resized_crop": kept(crops.crop_bboxes_by_coords(normalized(), (3, 5, 25, 17), SHAPE), (28, 30)),
    "displacement": remapped(waves()),
    "optical_distortion": remapped(geometric.get_camera_matrix_distortion_maps(SHAPE, 0.3)),
    "coarse_dropout": dropped(),
}


def main():
    with open(GOLDEN / "augment.tsv", "w") as file:
        file.write("name\tsize\tpixels\n")
        for name, image in IMAGES.items():
            assert image.dtype == np.uint8 and image.shape[2] == 3, name
            height, width, _ = image.shape
            file.write(f"{name}\t{width}x{height}\t{np.ascontiguousarray(image).tobytes().hex()}\n")
    with open(GOLDEN / "augment_boxes.tsv", "w") as file:
        file.write("name\tboxes\n")
        for name, boxes in BOXED.items():
            rows = [",".join(f"{value:.4f}" for value in box[:4]) + f",{int(box[4])}" for box in boxes]
            file.write(f"{name}\t{';'.join(rows)}\n")


if __name__ == "__main__":
    main()
