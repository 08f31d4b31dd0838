"""Writes small files of weights as PyTorch, safetensors and timm write them.

    .venv/bin/python tools/golden_weights.py

into crates/engine/tests/golden/weights: what the reader of `engine::weights` is held against
(crates/engine/tests/it/weights.rs). Values follow a formula, so that the tests need no second copy
of them: number i of tensor k is sin(k + 0.37 i), rounded to the tensor's format.
"""

import argparse
import collections
import io
import json
import math
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy
import safetensors.torch
import timm.layers
import torch

FOLDER = Path(__file__).parent.parent / "crates/engine/tests/golden/weights"

torch.set_num_threads(1)


def values(seed, *shape, dtype=torch.float32):
    """Number i is sin(seed + 0.37 i), in double precision before rounding."""
    count = math.prod(shape)
    numbers = [math.sin(seed + 0.37 * index) for index in range(count)]
    return torch.tensor(numbers, dtype=torch.float64).to(dtype).reshape(shape)


def state():
    """Every format and kind of view, by name."""
    block = values(6, 4, 6)
    shared = values(8, 12)
    return collections.OrderedDict(
        single=values(0, 2, 3),
        half=values(1, 5, dtype=torch.float16),
        brain=values(2, 5, dtype=torch.bfloat16),
        double=values(3, 4, dtype=torch.float64),
        scalar=values(4),
        empty=torch.zeros(0, 3),
        transposed=values(5, 2, 3).t(),
        every_second=block[1:, ::2],
        channels_last=values(7, 1, 2, 3, 2).to(memory_format=torch.channels_last),
        front=shared[:4],
        back=shared[4:].reshape(2, 4),
        parameter=torch.nn.Parameter(values(9, 3)),
        num_batches_tracked=torch.tensor(7),
        flags=torch.tensor([True, False]),
    )


class Attack:
    """What a hostile file asks Python to do."""

    def __reduce__(self):
        return os.system, ("touch /tmp/ferrotype-was-here",)


class Module(torch.nn.Module):
    """A network saved whole, as `torch.save(model)`."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)


def torch_files():
    torch.save(state(), FOLDER / "state.pth")
    torch.save(state(), FOLDER / "state_legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(state(), FOLDER / "state_protocol4.pt", pickle_protocol=4)
    model = Module()
    torch.save(
        {
            "epoch": 3,
            "best": torch.tensor(0.5),
            "loss": 0.25,
            "args": argparse.Namespace(lr=0.1),
            "score": numpy.float64(0.75),
            "model": {"weight": values(0, 2, 2), "extra": None},
            "optimizer": torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9).state_dict(),
        },
        FOLDER / "nested.pth",
    )
    torch.save({"step": 3, "history": [1, 2]}, FOLDER / "no_weights.pth")
    torch.save(model, FOLDER / "module.pth")
    torch.save(torch.jit.script(torch.nn.Linear(2, 2)).state_dict(), FOLDER / "scripted_state.pth")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), FOLDER / "torchscript.pt")
    torch.save({"weight": values(0, 2), "attack": Attack()}, FOLDER / "attack.pth")
    torch.save(
        {"weight": values(0, 2), "attack": Attack()},
        FOLDER / "attack_legacy.pth",
        _use_new_zipfile_serialization=False,
    )
    torch.save({"weight": values(0, 1, 1).expand(1000, 1000)}, FOLDER / "expanded.pth")
    torch.save({"weight": torch.tensor([1.0, math.nan])}, FOLDER / "not_finite.pth")
    (FOLDER / "attack.pkl").write_bytes(pickle.dumps(Attack()))


def big_endian():
    """As a big-endian machine saves it."""
    buffer = io.BytesIO()
    torch.save({"single": values(0, 2, 3)}, buffer)
    source = zipfile.ZipFile(buffer)
    with zipfile.ZipFile(FOLDER / "big_endian.pth", "w", zipfile.ZIP_STORED) as archive:
        for entry in source.infolist():
            data = source.read(entry)
            if "/data/" in entry.filename:
                data = numpy.frombuffer(data, "<f4").astype(">f4").tobytes()
            if entry.filename.endswith("byteorder"):
                data = b"big"
            archive.writestr(entry.filename, data)


def deflated():
    """As no version of PyTorch writes it."""
    source = zipfile.ZipFile(FOLDER / "nested.pth")
    with zipfile.ZipFile(FOLDER / "deflated.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in source.infolist():
            archive.writestr(entry.filename, source.read(entry))


def zip64():
    """The same archive with sizes and offsets in zip64 fields, as files over 4 GiB have them."""
    buffer = io.BytesIO()
    torch.save({"single": values(0, 2, 3)}, buffer)
    source = zipfile.ZipFile(buffer)
    out, directory = bytearray(), bytearray()
    for entry in source.infolist():
        data, name = source.read(entry), entry.filename.encode()
        offset = len(out)
        out += struct.pack("<IHHHHHIIIHH", 0x04034B50, 45, 0, 0, 0, 0, entry.CRC, len(data), len(data), len(name), 0)
        out += name + data
        extra = struct.pack("<HHQQQ", 1, 24, len(data), len(data), offset)
        wide = 0xFFFFFFFF
        directory += struct.pack(
            "<IHHHHHHIIIHHHHHII", 0x02014B50, 45, 45, 0, 0, 0, 0, entry.CRC, wide, wide, len(name), len(extra), 0, 0, 0, 0, wide
        )
        directory += name + extra
    begin, count = len(out), len(source.infolist())
    out += directory
    end = len(out)
    out += struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, len(directory), begin)
    out += struct.pack("<IIQI", 0x07064B50, 0, end, 1)
    out += struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    (FOLDER / "zip64.pth").write_bytes(out)
    loaded = torch.load(FOLDER / "zip64.pth")
    assert torch.equal(loaded["single"], values(0, 2, 3))


def safetensors_files():
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in state().items()}
    safetensors.torch.save_file(tensors, FOLDER / "state.safetensors", {"format": "pt"})


def position_embeddings():
    """Resampled by timm: larger, smaller, to another aspect ratio."""
    cases = []
    for old, new in [((4, 4), (6, 6)), ((7, 7), (3, 3)), ((4, 4), (5, 3)), ((14, 14), (4, 4)), ((2, 2), (9, 1))]:
        tokens = old[0] * old[1] + 1
        embedding = values(old[0], 1, tokens, 2)
        resampled = timm.layers.resample_abs_pos_embed(
            embedding, list(new), list(old), num_prefix_tokens=1
        )
        cases.append({"old": old, "new": new, "seed": old[0], "values": resampled.flatten().tolist()})
    (FOLDER / "position_embeddings.json").write_text(json.dumps(cases) + "\n")


FOLDER.mkdir(parents=True, exist_ok=True)
torch_files()
big_endian()
deflated()
zip64()
safetensors_files()
position_embeddings()
for path in sorted(FOLDER.iterdir()):
    assert path.stat().st_size < 20_000, path
    print(path.stat().st_size, path.name)
