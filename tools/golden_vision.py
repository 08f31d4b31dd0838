"""Golden files for crates/vision, made by Pillow.

    python -m venv .venv && .venv/bin/pip install pillow==13.0.0 numpy
    .venv/bin/python tools/golden_vision.py crates/vision/tests/golden [../shared/data/nasty]
    .venv/bin/python tools/golden_vision.py --colors

decode/        small image files in every mode that is read
decode.tsv     file, mode, stored and upright size, and the upright RGB pixels as hexadecimal
resize.tsv     filter, mode, sizes and Pillow's result for the image that `scene` paints
nasty.tsv      for each decodable file of the `nasty` collection, the upright size and 64 pixels
"""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

WIDTH, HEIGHT = 20, 14


def scene(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Soft colour waves with a bright corner: every flip and rotation looks different."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    channels = [
        127 + 90 * np.sin(x / width * 5 + seed) + 30 * np.cos(y / height * 7),
        110 + 80 * np.cos(x / width * 3 - y / height * 4 + seed),
        90 + 70 * np.sin(y / height * 6 + x / width),
    ]
    pixels = np.stack(channels, axis=-1)
    pixels[: height // 4, : width // 4] += 60
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def png16(pixels: np.ndarray, color_type: int) -> bytes:
    """A 16-bit PNG, which Pillow cannot write in colour. Low bytes are set to tell them apart."""
    wide = (pixels.astype(np.uint16) << 8) | 0x80
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in wide)
    height, width = pixels.shape[:2]

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    return block


def cases() -> dict[str, bytes]:
    pixels = scene(WIDTH, HEIGHT)
    rgb = Image.fromarray(pixels)
    alpha = np.linspace(0, 255, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH, 1).astype(np.uint8)
    rgba = Image.fromarray(np.concatenate([pixels, alpha], axis=-1))
    palette = rgb.quantize(32)
    gray = rgb.convert("L")
    files = {
        "rgb_444.jpg": saved(rgb, "JPEG", quality=90, subsampling=0),
        "rgb_420.jpg": saved(rgb, "JPEG", quality=90, subsampling=2),
        "rgb_422.jpg": saved(rgb, "JPEG", quality=90, subsampling=1),
        "progressive.jpg": saved(rgb, "JPEG", quality=90, progressive=True, subsampling=0),
        "restart.jpg": saved(rgb, "JPEG", quality=90, restart_marker_blocks=1),
        "gray.jpg": saved(gray, "JPEG", quality=90),
        "cmyk.jpg": saved(rgb.convert("CMYK"), "JPEG", quality=95),
        "stored_as_rgb.jpg": saved(rgb, "JPEG", quality=95, keep_rgb=True),
        "rgb.png": saved(rgb, "PNG"),
        "rgba.png": saved(rgba, "PNG"),
        "gray.png": saved(gray, "PNG"),
        "gray_alpha.png": saved(rgba.convert("LA"), "PNG"),
        "bits_1.png": saved(gray.convert("1"), "PNG"),
        "palette.png": saved(palette, "PNG"),
        "palette_4_bits.png": saved(rgb.quantize(7), "PNG", bits=4),
        "palette_transparent.png": saved(palette, "PNG", transparency=3),
        "rgb_16.png": png16(pixels, 2),
        "gray_alpha_16.png": png16(np.stack([pixels[..., 0], alpha[..., 0]], axis=-1), 4),
        "rotated_exif.png": saved(rgb, "PNG", exif=exif(6)),
        "lossless.webp": saved(rgb, "WEBP", lossless=True),
        "lossless_alpha.webp": saved(rgba, "WEBP", lossless=True, exact=True),
        "lossy.webp": saved(rgb, "WEBP", quality=90),
        "rotated_exif.webp": saved(rgb, "WEBP", lossless=True, exif=exif(8)),
        "rgb.bmp": saved(rgb, "BMP"),
        "palette.bmp": saved(palette, "BMP"),
        "gray.bmp": saved(gray, "BMP"),
        "bits_1.bmp": saved(gray.convert("1"), "BMP"),
        "palette.gif": saved(palette, "GIF"),
        "gray.gif": saved(gray, "GIF"),
        "animated.gif": saved(
            palette,
            "GIF",
            save_all=True,
            append_images=[Image.fromarray(scene(WIDTH, HEIGHT, 2)).quantize(32)],
        ),
        "small_frame.gif": small_frame_gif(palette),
        "rgb.tif": saved(rgb, "TIFF"),
        "rgb_lzw.tif": saved(rgb, "TIFF", compression="tiff_lzw"),
        "gray.tif": saved(gray, "TIFF"),
        "rotated.tif": saved(rgb, "TIFF", tiffinfo={274: 3}),
    }
    for orientation in range(1, 9):
        files[f"orientation_{orientation}.jpg"] = saved(
            rgb, "JPEG", quality=95, subsampling=0, exif=exif(orientation)
        )
    broken = bytearray(saved(rgb, "JPEG", quality=95, subsampling=0, exif=exif(6)))
    at = broken.index(b"Exif\0\0") + 6
    broken[at + 4 : at + 8] = b"\xff\xff\xff\xff"  # the directory's place
    files["broken_exif.jpg"] = bytes(broken)
    return files


def small_frame_gif(palette: Image.Image) -> bytes:
    """A GIF whose first frame covers only a part of its screen."""
    data = bytearray(saved(palette, "GIF"))
    width, height = struct.unpack("<HH", data[6:10])
    data[6:10] = struct.pack("<HH", width + 5, height + 3)
    at = data.index(b"\x2c\0\0\0\0")
    data[at + 1 : at + 5] = struct.pack("<HH", 4, 2)
    return bytes(data)


def upright(data: bytes) -> tuple[Image.Image, Image.Image]:
    stored = Image.open(io.BytesIO(data))
    stored.load()
    turned = ImageOps.exif_transpose(stored)
    if turned.mode == "I;16":
        turned = Image.fromarray((np.asarray(turned) >> 8).astype(np.uint8))
    return stored, turned.convert("RGB")


def write_decode(folder: Path) -> None:
    files = folder / "decode"
    files.mkdir(parents=True, exist_ok=True)
    lines = ["file\tmode\tstored\tupright\tpixels"]
    for name, data in sorted(cases().items()):
        (files / name).write_bytes(data)
        header = Image.open(io.BytesIO(data))
        mode, size = header.mode, header.size
        _, image = upright(data)
        lines.append(
            f"{name}\t{mode}\t{size[0]}x{size[1]}\t{image.width}x{image.height}"
            f"\t{image.tobytes().hex()}"
        )
    (folder / "decode.tsv").write_text("\n".join(lines) + "\n")


def center_crop(image: Image.Image, width: int, height: int, filter_: int) -> Image.Image:
    """torchvision's `Resize(size)` then `CenterCrop(size)`, for any aspect ratio."""
    if image.width * height <= image.height * width:
        size = (width, int(width * image.height / image.width))
    else:
        size = (int(height * image.width / image.height), height)
    resized = image.resize(size, filter_)
    left = round((resized.width - width) / 2)
    top = round((resized.height - height) / 2)
    return resized.crop((left, top, left + width, top + height))


def write_resize(folder: Path) -> None:
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    sizes = [(53, 31, 16, 16), (31, 53, 16, 16), (12, 9, 20, 20), (64, 64, 16, 16), (40, 25, 24, 12)]
    lines = ["filter\tmode\tsource\ttarget\tpixels"]
    for name, filter_ in filters.items():
        for source_width, source_height, width, height in sizes:
            source = Image.fromarray(scene(source_width, source_height))
            results = {
                "stretch": source.resize((width, height), filter_),
                "center_crop": center_crop(source, width, height, filter_),
            }
            for mode, result in results.items():
                lines.append(
                    f"{name}\t{mode}\t{source_width}x{source_height}\t{width}x{height}"
                    f"\t{result.tobytes().hex()}"
                )
    (folder / "resize.tsv").write_text("\n".join(lines) + "\n")
    for source_width, source_height, _, _ in sizes:
        path = folder / f"scene_{source_width}x{source_height}.png"
        Image.fromarray(scene(source_width, source_height)).save(path, optimize=True)


def write_nasty(folder: Path, nasty: Path) -> None:
    lines = ["file\tupright\tpixels"]
    for line in (nasty / "MANIFEST.tsv").read_text().splitlines()[1:]:
        kind, name, _, _, reference = line.split("\t")[:5]
        if reference != "decodes":
            continue
        _, image = upright((nasty / kind / name).read_bytes())
        pixels = np.asarray(image)
        rows = np.arange(8) * image.height // 8 + image.height // 16
        columns = np.arange(8) * image.width // 8 + image.width // 16
        sample = pixels[np.ix_(rows, columns)]
        lines.append(f"{kind}/{name}\t{image.width}x{image.height}\t{sample.tobytes().hex()}")
    (folder / "nasty.tsv").write_text("\n".join(lines) + "\n")


def print_colors() -> None:
    """What torchvision 0.27's `transforms.v2.functional` does to a uint8 tensor, in its float32."""
    image = np.array(
        [[200, 30, 90], [10, 250, 120], [77, 77, 77], [255, 0, 128]], dtype=np.float32
    )
    weights = np.array([0.2989, 0.587, 0.114], dtype=np.float32)
    luma = np.floor((image * weights).sum(axis=-1, keepdims=True, dtype=np.float32))

    def blend(other: np.ndarray, factor: float) -> list[int]:
        mixed = image * np.float32(factor) + other * np.float32(1.0 - factor)
        return np.clip(mixed, 0, 255).astype(np.uint8).ravel().tolist()

    print("brightness 1.3", blend(np.zeros_like(image), 1.3))
    print("contrast 0.6", blend(luma.mean(dtype=np.float32), 0.6))
    print("saturation 1.4", blend(luma, 1.4))


if __name__ == "__main__":
    if sys.argv[1] == "--colors":
        print_colors()
        sys.exit()
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    write_decode(out)
    write_resize(out)
    if len(sys.argv) > 2:
        write_nasty(out, Path(sys.argv[2]))
