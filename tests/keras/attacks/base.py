"""What attacks are made of: good files, secrets beside them, and a refusal's text."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

__all__ = [
    "Attack",
    "chain",
    "dense",
    "good_h5",
    "h5_with",
    "secret_folder",
    "trained_h5",
]

#: Where the kernel is in a good file.
KERNEL = "model_weights/d/d/kernel:0"


@dataclass(frozen=True)
class Attack:
    """A file that nobody should trust.

    Attributes:
        make: Writes it into a folder and returns its path.
        text: What the error says, as a pattern; None where the file is harmless to
            us, and loads.
    """

    make: Callable[[Path], Path]
    text: str | None


def secret_folder(folder: Path) -> Path:
    """A folder of files that no file may make us open."""
    path = folder / "elsewhere"
    path.mkdir(exist_ok=True)
    (path / "secret").write_bytes(b"secret!!" * 100)
    if not (path / "other.h5").exists():
        good_h5(path / "other.h5")
    return path


def dense(name: str = "d", **more: Any) -> dict[str, Any]:
    """The entry of a layer that fits the good files."""
    config = {"name": name, "units": 2, "use_bias": False, **more}
    return {"class_name": "Dense", "config": config}


def chain(*layers: dict[str, Any], shape: Any = (None, 3)) -> dict[str, Any]:
    """A sequential model of Keras 2 with these layers."""
    first, *others = layers
    config = {"batch_input_shape": list(shape), **first["config"]}
    entries = [{**first, "config": config}, *others]
    return {
        "class_name": "Sequential",
        "config": {"name": "chain", "layers": entries},
        "keras_version": "2.4.0",
        "backend": "tensorflow",
    }


def good_h5(path: Path, root: Any = None, text: str | None = None) -> Path:
    """A whole model as Keras 2 writes it; or another configuration with its weights."""
    root = root or chain(dense())
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = text or json.dumps(root)
        file.attrs["keras_version"] = b"2.4.0"
        file.attrs["backend"] = b"tensorflow"
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.asarray([b"d"])
        own = group.create_group("d")
        own.attrs["weight_names"] = np.asarray([b"d/kernel:0"])
        own["d/kernel:0"] = np.ones((3, 2), np.float32)
    return path


def h5_with(change: Callable[[Any, Path], None]) -> Callable[[Path], Path]:
    """A maker of the good file, changed while it is open."""

    def make(folder: Path) -> Path:
        path = good_h5(folder / "attack.h5")
        with h5py.File(path, "r+") as file:
            change(file, secret_folder(folder))
        return path

    return make


def trained_h5(training: Any) -> Callable[[Path], Path]:
    """A maker of the good file, compiled as `training` says."""

    def change(file: Any, _: Path) -> None:
        file.attrs["training_config"] = json.dumps(training)

    return h5_with(change)
