"""Files rewritten so that they still say the same: what they give must be equal."""

from __future__ import annotations

import io
import json
import random
import zipfile
from typing import Any, Final

import h5py
import numpy as np

__all__ = ["rewrite_hdf5", "rewritten_json", "rewritten_zip"]

#: Keys that may stand in any layer, and mean nothing there.
_MEANINGLESS: Final = {"build_config": {"input_shape": [None, 7]}, "rng_type": "x"}


def rewritten_json(root: Any, rng: random.Random) -> str:
    """The same data as another text: order of keys, escapes, spaces, JSON in JSON."""
    text = json.dumps(
        _shuffled(root, rng),
        ensure_ascii=rng.random() < 0.5,
        indent=rng.choice((None, 0, 3)),
    )
    return json.dumps(text) if rng.random() < 0.3 else text


def _shuffled(value: Any, rng: random.Random) -> Any:
    if isinstance(value, list):
        return [_shuffled(item, rng) for item in value]
    if not isinstance(value, dict):
        return value
    items = [
        # What a call is given stands in an order that may count.
        (key, item if key == "inbound_nodes" else _shuffled(item, rng))
        for key, item in value.items()
    ]
    if value.get("class_name") == "Dense" and "units" in (value.get("config") or {}):
        items = [(k, {**v, **_MEANINGLESS} if k == "config" else v) for k, v in items]
    rng.shuffle(items)
    return dict(items)


def rewrite_hdf5(file: Any, rng: random.Random) -> str:
    """The same arrays and names, stored otherwise."""
    paths: list[str] = []
    file.visititems(
        lambda name, item: (
            paths.append(name) if isinstance(item, h5py.Dataset) else None
        )
    )
    for path in paths:
        if rng.random() < 0.5:
            _store_again(file, path, rng)
    groups = [file]
    file.visititems(
        lambda name, item: groups.append(item) if isinstance(item, h5py.Group) else None
    )
    for group in groups:
        for name in ("layer_names", "weight_names"):
            if name in group.attrs and len(group.attrs[name]):
                _name_again(group, name, rng)
    file.attrs["something else"] = np.zeros(3)
    file.create_group("something else/inside")
    return "stored otherwise"


def _store_again(file: Any, path: str, rng: random.Random) -> None:
    old = file[path][()]
    if not isinstance(old, np.ndarray) or old.dtype.kind != "f" or not old.size:
        return
    options: dict[str, Any] = rng.choice(
        (
            {"data": old},
            {"data": old.astype(old.dtype.newbyteorder(">"))},
            {"data": old.astype("f8")},
            {"data": old, "chunks": True, "fletcher32": True, "shuffle": True},
            {"data": old, "maxshape": (None,) * old.ndim, "compression": "gzip"},
            {"data": old, "compression": "lzf"},
        )
    )
    if not old.ndim:
        options = {"data": old}
    del file[path]
    file.create_dataset(path, **options)


def _name_again(group: Any, name: str, rng: random.Random) -> None:
    texts = [
        text.decode() if isinstance(text, bytes) else str(text)
        for text in group.attrs[name]
    ]
    kind = rng.randrange(4)
    if kind == 0:
        group.attrs[name] = texts  # of variable length
    elif kind == 1:
        group.attrs[name] = np.asarray([text.encode() for text in texts], "S200")
    elif kind == 2 and len(texts) > 1:
        del group.attrs[name]
        for at, part in enumerate(np.array_split(np.asarray(texts, "S"), 2)):
            group.attrs[f"{name}{at}"] = part


def rewritten_zip(data: bytes, rng: random.Random) -> bytes:
    """The same members in another order, stored otherwise."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    rng.shuffle(members)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members:
            method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
            archive.writestr(name, content, method)
        archive.comment = b"rewritten"
    return out.getvalue()
