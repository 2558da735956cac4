"""`graphjit convert`: a model from one file to another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from graphjit import keras
from graphjit.command_line.output import file_size, say
from graphjit.command_line.source import Source
from graphjit.command_line.target import check_target
from graphjit.errors import DataError, expected
from graphjit.model import Model
from graphjit.saving import not_kept

__all__ = ["convert"]

_KERAS: Final = (".keras", ".h5", ".hdf5")


def convert(source: Source, target: Path, force: bool) -> int:
    """Read a model, say what was assumed, write it.

    Args:
        source: The model.
        target: The file to write; its suffix says the format.
        force: Whether to replace the file.

    Raises:
        DataError: The target has no known suffix, or exists.
    """
    if target.suffix not in (".gjit", *_KERAS):
        wanted = f"a name that ends in .gjit, {', '.join(_KERAS)}"
        expected(DataError, "OUT", wanted, str(target))
    check_target(target, force)
    model = source.read()
    say(f"{source.path}: {_origin(model)}")
    check_target(target, force)  # reading may have taken minutes
    notes: Sequence[str] = ()
    if target.suffix == ".gjit":
        model.save(target)
        notes = not_kept(model)
    else:
        notes = keras.save_model(model, target)
    size = file_size(target.stat().st_size)
    layers, count = len(model.layers), model.count_params()
    say(f"{target}: {layers} layers, {count:,} parameters, {size}")
    for note in notes:
        say(f"- {note}")
    return 0


def _origin(model: Model) -> str:
    if model.provenance is None:
        return "a model made by graphjit"
    return str(model.provenance)
