"""Models that were saved for Keras: data for them, and whether all agree on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

import graphjit as gj

__all__ = ["ENDINGS", "check", "data", "listed", "saved"]

#: Of the two formats.
ENDINGS = ("keras", "h5")


def data(*shape: int, seed: int = 0) -> Any:
    """Random numbers of both signs."""
    return np.random.default_rng(seed).normal(0.1, 1.2, shape).astype(np.float32)


def listed(found: Any) -> list[Any]:
    """One output or several, as a list."""
    return list(found) if isinstance(found, (list, tuple)) else [found]


def check(found: Any, wanted: Any) -> None:
    """Equal outputs, of equal shapes."""
    for ours, theirs in zip(listed(found), listed(wanted), strict=True):
        other = np.asarray(theirs)
        assert np.shape(ours) == other.shape
        np.testing.assert_allclose(ours, other, rtol=1e-5, atol=1e-5)


def saved(model: gj.Model, path: Path, x: Any) -> tuple[Any, tuple[str, ...]]:
    """Keras's model from the file, once both readers agree with ours; and the notes."""
    notes = gj.keras.save_model(model, path)
    theirs = keras.saving.load_model(path)
    found = model.predict(x)
    check(found, theirs(x))
    check(gj.keras.load_model(path).predict(x), found)
    return theirs, notes
