"""Files as Keras 1 wrote them, made byte by byte with h5py."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

#: What a layer's arrays are called: "W", "b", …
Arrays = Mapping[str, Any]


def entry(class_name: str, name: str, **config: Any) -> dict[str, Any]:
    settings = {"name": name, "trainable": True, **config}
    return {"class_name": class_name, "config": settings}


def write_weights(group: Any, layers: Sequence[tuple[str, Arrays]]) -> None:
    group.attrs["layer_names"] = [name.encode() for name, _ in layers]
    for name, arrays in layers:
        own = group.create_group(name)
        own.attrs["weight_names"] = [f"{name}_{slot}".encode() for slot in arrays]
        for slot, array in arrays.items():
            own[f"{name}_{slot}"] = np.asarray(array, np.float32)


def write_model(
    path: Path,
    config: Any,
    layers: Sequence[tuple[str, Arrays]],
    version: str | None = "1.2.2",
    class_name: str = "Sequential",
) -> Path:
    """A whole model, as `model.save` wrote it."""
    with h5py.File(path, "w") as file:
        if version is not None:
            file.attrs["keras_version"] = version.encode()
        root = {"class_name": class_name, "config": config}
        file.attrs["model_config"] = json.dumps(root).encode()
        write_weights(file.create_group("model_weights"), layers)
    return path
