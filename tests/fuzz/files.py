# SPDX-License-Identifier: Apache-2.0
"""Hostile and damaged files for every reader: one error at most, and nothing in them is run."""

from __future__ import annotations

import functools
import io
import json
import random
import struct
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.conftest import Ran, myoedge
from tests.support import attacks
from tests.support.networks.small import Small

Random = random.Random
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 31)
TOML = """\
[model]
path = "model.pt2"
[calib]
data = "calib.npz"
samples = 8
[quant]
"stem" = { weights = "per_tensor" }
[engine]
"head" = "cores"
[budget]
l2 = "900 KiB"
latency = "20 ms"
sqnr = 5.0
[conditioning]
rate_hz = 200.0
notch_hz = 50.0
[stream]
axis = 2
frames = 2
rate = 200.0
"""
SWEEP = '[[model]]\npath = "model.pt2"\ncalib = "calib.npz"\n[[budget]]\nname = "a"\nl2 = "1 MiB"\n'
WORDS = (
    "-1", "0", "1e999", "nan", '""', "[]", "{}", "true", '"\\u0000"', "9" * 40, '"../.."',
    '"a" = 1', "[[x]]", "1979-05-27", "'", '"""', "\x00", "inf", '"' + "a" * 300 + '"', "x.y.z",
)  # fmt: skip


@functools.cache
def corpus() -> dict[str, bytes]:
    """Sound files of every kind, by name."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(0)
        rng = np.random.default_rng(0)
        model, x = Small().eval(), rng.standard_normal((20, 1, 2, 12)).astype(np.float32)
        torch.export.save(
            torch.export.export(model, (torch.zeros(1, 2, 12),)), folder / "model.pt2"
        )
        torch.save(model.state_dict(), folder / "new.pt")
        old = folder / "old.pt"
        torch.save({"state_dict": model.state_dict()}, old, _use_new_zipfile_serialization=False)
        torch.save({"model": model.state_dict(), "args": random.Random}, folder / "args.pt")
        _save_safetensors(model, folder / "w.safetensors")
        torch.onnx.export(model, (torch.zeros(1, 2, 12),), str(folder / "model.onnx"), dynamo=False)
        np.savez(folder / "calib.npz", input=x, label=rng.integers(0, 3, 20))
        np.savez_compressed(folder / "packed.npz", input=x)
        np.save(folder / "calib.npy", x)
        np.savetxt(folder / "r.csv", rng.standard_normal((80, 2)), delimiter=",")
        _save_scipy(rng, folder)
        build = ("build", "model.pt2", "--calib", "calib.npz", "--no-simulate", "-o", "out")
        assert myoedge(*build, cwd=folder).code == 0
        made = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
        for inner in ("firmware.elf", "model.int8.onnx"):
            made[inner] = (folder / "out" / inner).read_bytes()
    return {**made, "myoedge.toml": TOML.encode(), "SWEEP.toml": SWEEP.encode()}


def _save_safetensors(model: torch.nn.Module, path: Path) -> None:
    from safetensors.torch import save_file

    save_file(model.state_dict(), path)


def _save_scipy(rng: np.random.Generator, folder: Path) -> None:
    from scipy.io import savemat, wavfile

    savemat(folder / "r.mat", {"input": rng.standard_normal((80, 2))}, do_compression=True)
    wavfile.write(folder / "r.wav", 200, rng.standard_normal((80, 2)).astype(np.float32))


# ---- damages


def flipped(data: bytes, draw: Random) -> bytes:
    made = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8, 40))):
        made[draw.randrange(len(made))] ^= 1 << draw.randrange(8)
    return bytes(made)


def cut(data: bytes, draw: Random) -> bytes:
    return data[: draw.randrange(len(data))]


def numbered(data: bytes, draw: Random) -> bytes:
    """A number of an edge in the place of four bytes."""
    made, at = bytearray(data), draw.randrange(max(len(data) - 4, 1))
    made[at : at + 4] = struct.pack(draw.choice("<>") + "I", draw.choice(EDGES))
    return bytes(made)


def moved(data: bytes, draw: Random) -> bytes:
    """A piece of the file once more, left out, or of zeros."""
    a, b = sorted(draw.randrange(len(data)) for _ in range(2))
    piece = draw.choice((b"", bytes(b - a), data[a:b] * 2, data[a:b][::-1], draw.randbytes(9)))
    return data[:a] + piece + data[b:]


def reworded(data: bytes, draw: Random) -> bytes:
    """Another word in the place of one of a text."""
    parts = data.decode("latin-1").split(" ")
    parts[draw.randrange(len(parts))] = draw.choice(WORDS)
    return " ".join(parts).encode("latin-1", "replace")


def relined(data: bytes, draw: Random) -> bytes:
    lines = data.split(b"\n")
    a, b = (draw.randrange(len(lines)) for _ in range(2))
    lines[a] = draw.choice((lines[b], b"", lines[a] * 2, draw.choice(WORDS).encode()))
    return b"\n".join(lines)


def repacked(data: bytes, draw: Random) -> bytes:
    """Members of a zip archive damaged, their checksums right; some compressed, or another's."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = draw.choice([*members])
    is_json = name.endswith(".json") and draw.random() < 0.8
    change = bent if is_json else draw.choice(BYTES)
    members[name] = change(members[name], draw) if members[name] else b"x"
    if draw.random() < 0.1:
        members[draw.choice(("../x", "a" * 300, "model/x", "/etc/x", "ä"))] = b"x"
    if draw.random() < 0.1:
        del members[draw.choice([*members])]
    method = zipfile.ZIP_DEFLATED if draw.random() < 0.2 else zipfile.ZIP_STORED
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for key, content in members.items():
            archive.writestr(key, content)
    return packed.getvalue()


VALUES: tuple[Any, ...] = (
    *(None, -1, 0, 1 << 62, -(1 << 62), 3.5, 1e308, "x", "", [], {}, True, {"as_int": 7}, [[]]),
    *("__import__('os')", "a" * 300, "../..", "\0", {"type": "meta", "index": None}),
)


def bent(data: bytes, draw: Random) -> bytes:
    """JSON with other values, or keys left out."""
    tree = json.loads(data)
    for _ in range(draw.choice((1, 1, 2, 5))):
        if places := list(_places(tree)):
            holder, key = draw.choice(places)
            if draw.random() < 0.15 and isinstance(holder, dict):
                del holder[key]
            else:
                holder[key] = draw.choice(VALUES)
    return json.dumps(tree).encode()


def _places(value: Any) -> Any:
    if isinstance(value, dict | list):
        for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield value, key
            yield from _places(item)


def refielded(data: bytes, draw: Random) -> bytes:
    """An ONNX model with other fields: nodes, names, attributes, types, shapes."""
    import onnx

    model = onnx.ModelProto.FromString(data)
    graph = model.graph
    node = draw.choice([*graph.node])
    changes: tuple[Callable[[], object], ...] = (
        lambda: setattr(node, "op_type", draw.choice(("Loop", "If", "Scan", "Gemm", "", "Sin"))),
        lambda: node.input.append(draw.choice(("", "nowhere", *graph.node[-1].output))),
        lambda: node.ClearField("input"),
        lambda: node.ClearField("attribute"),
        lambda: node.output.append(node.output[0]),
        lambda: setattr(draw.choice([*graph.initializer]), "data_type", draw.randrange(30)),
        lambda: draw.choice([*graph.initializer]).dims.append(draw.choice((0, 2, 1 << 40))),
        lambda: setattr(draw.choice([*graph.initializer]), "raw_data", draw.randbytes(7)),
        lambda: setattr(draw.choice([*model.opset_import]), "version", draw.randrange(40)),
        lambda: graph.node.append(node),
        lambda: graph.node.remove(node),
        lambda: graph.output.append(graph.input[0]),
        lambda: graph.input[0].type.tensor_type.shape.dim.add(),
        lambda: _change_attribute(node, draw),
        lambda: _lie_elsewhere(draw.choice([*graph.initializer]), draw),
    )
    for _ in range(draw.choice((1, 1, 2, 3))):
        draw.choice(changes)()
    return model.SerializeToString()


def _change_attribute(node: Any, draw: Random) -> None:
    for attribute in node.attribute:
        values = [draw.choice((-1, 0, 1, 2, 1 << 40)) for _ in range(draw.randrange(4))]
        del attribute.ints[:]
        attribute.ints.extend(values)
        attribute.i, attribute.f = draw.choice(EDGES), draw.choice((0.0, -1.0, 1e38))


def _lie_elsewhere(tensor: Any, draw: Random) -> None:
    tensor.data_location = 1
    for key, value in (
        ("location", draw.choice(("../secret", "/etc/passwd", "model.pt2", "pipe", "a" * 300))),
        ("offset", draw.choice(("0", "-1", "9" * 30, "x"))),
    ):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value


BYTES = (flipped, cut, numbered, moved)
DAMAGES: Mapping[str, tuple[Callable[[bytes, Random], bytes], ...]] = {
    **dict.fromkeys(("model.pt2", "new.pt", "args.pt"), (*BYTES, *(repacked,) * 6)),
    **dict.fromkeys(("calib.npz", "packed.npz"), (*BYTES, repacked, repacked)),
    **dict.fromkeys(("model.onnx", "model.int8.onnx"), (*BYTES, *(refielded,) * 5)),
    **dict.fromkeys(("myoedge.toml", "SWEEP.toml", "r.csv"), (*BYTES, *(reworded, relined) * 3)),
}


# ---- cases


def verb(name: str, draw: Random) -> tuple[str, ...]:
    """The command that reads a file."""
    kind = Path(name).suffix
    if name in ("model.pt2", "model.onnx", "model.int8.onnx"):
        quantize = ("quantize", name, "--calib", "random", "--samples", "2")
        return quantize if draw.random() < 0.15 else ("inspect", name)
    if kind in (".pt", ".safetensors"):
        return (
            "inspect",
            name,
            "--factory",
            "tests.support.networks.small:Small",
            "--calib",
            "sound.npz",
        )
    if kind == ".elf":
        return ("simulate", "--elf", name, "--max-cycles", "20000", "--profile")
    if name == "SWEEP.toml":
        return ("sweep", name, "--jobs", "1", "--scheduler", "tcp://nowhere:1")
    if name == "myoedge.toml":
        return ("quantize", "sound.pt2", "--config", name)
    return ("quantize", "sound.pt2", "--calib", name, "--samples", "4")


def run(seed: int, folder: Path) -> dict[str, Any]:
    """Outcome of a damaged file: read, refused with a code, or what is wrong."""
    draw, sound = random.Random(seed), corpus()
    for name in ("model.pt2", "calib.npz"):
        (folder / name.replace("model", "sound").replace("calib", "sound")).write_bytes(sound[name])
    (folder / "model.pt2").write_bytes(sound["model.pt2"])
    if draw.random() < 0.04:
        return _attacked(folder, draw)
    name = draw.choice([*sound])
    damage = draw.choice(DAMAGES.get(name, BYTES))
    (folder / name).write_bytes(damage(sound[name], draw))
    told = {"file": name, "damage": damage.__name__}
    found = outcome(myoedge(*verb(name, draw), cwd=folder))
    if found["outcome"] == "silent" and name == "firmware.elf":
        found["outcome"] = "read"  # the exit code is the program's own
    return told | found


def _attacked(folder: Path, draw: Random) -> dict[str, Any]:
    """A file that runs code where torch reads it; its marker must not appear."""
    attack = draw.choice((*attacks.ON_LOAD, *attacks.ON_CALL))
    marker = folder / "marker"
    content = attacks.members(attacks.saved(folder))
    path = attacks.pack(folder / "a.pt2", attack(content, marker))
    found = {"file": "attack", "damage": attack.__name__}
    found |= outcome(myoedge("quantize", path.name, "--calib", "random", cwd=folder))
    return {**found, "outcome": "code was run"} if marker.exists() else found


def outcome(ran: Ran) -> dict[str, Any]:
    """What a command line ended with; a bug, or several errors, are not in order."""
    codes = [line.split("[")[1].split("]")[0] for line in ran.err.splitlines() if "error[" in line]
    if "Traceback" in ran.err or ran.code == 70 or len(codes) > 1:
        return {
            "outcome": "traceback",
            "code": codes[-1] if codes else "",
            "detail": ran.err[-1500:],
        }
    if ran.code and not codes and "Error: " not in ran.err:
        return {"outcome": "silent", "detail": f"exit code {ran.code}: {ran.err[-500:]}"}
    return {"outcome": "refused", "code": codes[0]} if codes else {"outcome": "read"}
