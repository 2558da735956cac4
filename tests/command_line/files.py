"""Files that the tests of the command line read: written once, in one folder.

The fixture in `conftest.py` writes and removes them.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import graphjit as gj

#: No test changes what is in it.
FOLDER = Path(tempfile.gettempdir()) / f"graphjit-command-line-{os.getpid()}"


def small(**changes: Any) -> gj.Model:
    """Two inputs, three layers and an output; `changes` are those of layer "hidden"."""
    a, b = gj.Input((4,), name="a"), gj.Input((2,), name="b")
    settings = {"units": 3, "activation": "relu", "name": "hidden", **changes}
    hidden = gj.layers.Dense(**settings)(a)
    both = gj.layers.Concatenate(name="both")([hidden, b])
    model = gj.Model([a, b], gj.layers.Dense(2, name="out")(both), name="small")
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def inputs(rows: int = 5, dtype: str = "float32") -> dict[str, np.ndarray[Any, Any]]:
    """Data for `small`, by the names of its inputs."""
    rng = np.random.default_rng(1)
    return {"a": rng.normal(size=(rows, 4)).astype(dtype), "b": np.ones((rows, 2))}


def write() -> None:
    """Fill `FOLDER`."""
    FOLDER.mkdir()
    model = small()
    model.save(FOLDER / "small.gjit")
    model.save_weights(FOLDER / "weights.h5")
    (FOLDER / "model.json").write_text(model.to_json())
    np.savez(FOLDER / "x.npz", **inputs())
