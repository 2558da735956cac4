"""`graphjit run`: a model on the arrays of one `.npz` file, into another."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from graphjit.command_line.output import say
from graphjit.command_line.source import Source
from graphjit.command_line.target import check_target
from graphjit.errors import DataError, nearest
from graphjit.formats.atomic import replacing
from graphjit.ir import Input
from graphjit.model import Model
from graphjit.narrow import sequence_of

__all__ = ["run"]

Arrays: TypeAlias = dict[str, NDArray[Any]]

#: The date that zip files without one have.
_NO_DATE: Final = (1980, 1, 1, 0, 0, 0)


def run(source: Source, given: Path, target: Path, batch_size: int | None) -> int:
    """Compute the outputs, and write them under their names, all or none.

    Args:
        source: The model.
        given: An `.npz` file that has its inputs.
        target: The file to write; it is replaced where it exists.
        batch_size: Rows at a time; None for 32, or the model's fixed batch.

    Raises:
        DataError: The arrays do not fit; the message says which, expected, received.
    """
    check_target(target, replace=True)
    if target.exists() and given.exists() and target.samefile(given):
        raise DataError(f"--output: expected another file than --input, {given}")
    arrays = _read(given)
    model = source.read()
    inputs = model.graph.inputs
    matched = _matched(inputs, arrays, given)
    for line in _casts(inputs, matched):
        say(line)
    outputs = _outputs(model, model.predict(matched, batch_size=batch_size))
    _write(target, outputs)
    for name, array in outputs.items():
        say(f"{name}: {array.dtype} {array.shape}")
    return 0


# --- inputs ---------------------------------------------------------------------


def _read(path: Path) -> Arrays:
    """The arrays of a file; nothing in it is unpickled.

    Raises:
        DataError: It is no `.npz` file, or holds objects.
    """
    if path.is_dir():
        raise DataError(f"{path}: expected an .npz file, received a folder")
    try:
        with open(path, "rb") as file:
            found = np.load(file, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return {"arr_0": found}  # an .npy file: one array without a name
            return {name: found[name] for name in found.files}
    except (OSError, MemoryError):
        raise
    except Exception as error:  # for damaged files NumPy and zipfile raise many kinds
        text = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path}: expected an .npz file of arrays: {text}",
            hint="numpy.savez('x.npz', name=array) writes one",
        ) from None


def _matched(inputs: Sequence[Input], arrays: Arrays, path: Path) -> Arrays:
    """The arrays by the inputs' names."""
    names = [entry.name for entry in inputs]
    if set(arrays) == set(names):
        return arrays
    in_order = [f"arr_{at}" for at in range(len(names))]
    if set(arrays) == set(in_order):
        return {n: arrays[key] for n, key in zip(names, in_order, strict=True)}
    missing = [name for name in names if name not in arrays]
    unknown = [name for name in arrays if name not in names]
    details = [f"the model's inputs: {', '.join(map(repr, names))}"]
    details += [f"missing: {', '.join(map(repr, missing))}"] if missing else []
    details += [f"not an input: {', '.join(map(repr, unknown))}"] if unknown else []
    guess = nearest(unknown[0], missing) if unknown and missing else None
    raise DataError(
        f"{path}: its arrays are not the model's inputs",
        details=details,
        hint=f"{unknown[0]!r} may be {guess!r}" if guess else None,
    )


def _casts(inputs: Sequence[Input], arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    """A sentence for every array that is cast."""
    lines: list[str] = []
    for entry in inputs:
        found, wanted = arrays[entry.name].dtype.name, entry.type.dtype
        if found != wanted:
            lines.append(f"input {entry.name!r}: cast from {found} to {wanted}")
    return lines


# --- outputs --------------------------------------------------------------------


def _outputs(model: Model, results: Any) -> Arrays:
    names = model.output_names
    items = sequence_of(results) or [results]
    return {n: _storable(array) for n, array in zip(names, items, strict=True)}


def _storable(array: NDArray[Any]) -> NDArray[Any]:
    """The array in a type that files of NumPy know: bfloat16 as float32, exactly."""
    return array.astype(np.float32) if array.dtype == jnp.bfloat16 else array


def _write(path: Path, arrays: Arrays) -> None:
    """An `.npz` file; equal arrays give equal bytes.

    `numpy.savez` takes names as keyword arguments, and so cannot take every name.
    """
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", _NO_DATE)
            with archive.open(member, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)
