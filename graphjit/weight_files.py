"""`save_weights` and `load_weights`: a model's weights in Keras 2's HDF5 files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from graphjit.capture.cell import Cell, as_variable, wide_scope
from graphjit.capture.input_layer import InputLayer
from graphjit.capture.layer import Layer
from graphjit.capture.tracer import SubModel
from graphjit.errors import DataError, FormatError
from graphjit.formats import hdf5, keras_weights
from graphjit.formats.keras_weights import LayerWeights, StoredLayer, StoredWeight
from graphjit.formats.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from graphjit.model import Model

__all__ = ["WithWeightFiles"]

_ENDINGS: Final = (".h5", ".hdf5")
_KERAS_3_ENDING: Final = ".weights.h5"
_BACKENDS: Final = ("tensorflow", "theano", "cntk", "jax", "torch", "numpy")
#: Theano turns these kernels round: it convolves where others correlate.
_TURNED: Final = {
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D"), ("kernel",)),
    **dict.fromkeys((f"Conv{rank}DTranspose" for rank in (1, 2, 3)), ("kernel",)),
    **dict.fromkeys(
        (f"ConvLSTM{rank}D" for rank in (1, 2, 3)), ("kernel", "recurrent_kernel")
    ),
}


@dataclass(frozen=True, slots=True)
class _Weight:
    """A weight of a layer, as files hold it.

    Attributes:
        name: Such as "kernel", or "dense/kernel" in a nested model.
        cell: Its variable.
        turned: Whether Theano's files have it turned round.
        trained: Whether it is trained: those come first.
    """

    name: str
    cell: Cell
    turned: bool
    trained: bool


@dataclass(frozen=True, slots=True)
class _Owner:
    """A layer of the model, with its weights in the order of files."""

    name: str
    weights: tuple[_Weight, ...]
    is_model: bool = False


class WithWeightFiles:
    """The methods of `Model` that keep weights in files: a base of `Model` alone."""

    def save_weights(
        self, filepath: str | os.PathLike[str], overwrite: bool = True
    ) -> None:
        """Write the weights to an HDF5 file in Keras 2's layout, atomically.

        Args:
            filepath: A name that ends in .h5 or .hdf5.
            overwrite: Whether a file of that name may be replaced.

        Raises:
            FileExistsError: There is one, and it may not.
            FormatError: The name is of another format, or a layer's name cannot stand
                in HDF5; nothing is written.
            ImportError: h5py is not installed.
        """
        name = os.fspath(filepath)
        if not name.endswith(_ENDINGS) or name.endswith(_KERAS_3_ENDING):
            raise FormatError(
                f"{name}: expected a name that ends in .h5 or .hdf5",
                hint="Keras reads .weights.h5 as Keras 3's other layout"
                if name.endswith(_KERAS_3_ENDING)
                else "save(path) writes the whole model, as .gjit",
            )
        if not overwrite and os.path.exists(name):
            raise FileExistsError(f"{name}: the file exists, and overwrite is False")
        model = cast("Model", self)
        model.arrays()  # those that have no value yet get their first one
        keras_weights.save(name, [_written(owner) for owner in _owners(model)])

    def load_weights(
        self,
        filepath: str | os.PathLike[str],
        by_name: bool = False,
        skip_mismatch: bool = False,
        *,
        backend: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Read weights from an HDF5 file in Keras 2's layout, also a whole model's.

        Args:
            filepath: Written by `save_weights`, or by Keras (not Keras 3's
                ``.weights.h5``, which is another layout).
            by_name: Give weights to the layers that have the same name as one in the
                file, and leave the others; otherwise layers take them in order.
            skip_mismatch: Leave what does not fit, with a warning, instead of raising.
            backend: The Keras backend the file was written under, where it does not
                say: "theano" turned convolution kernels round.
            limits: What a file may ask of the reader; None for the defaults.

        Raises:
            DataError: Layers, counts or shapes differ; the message names the layer.
                Nothing is changed then.
            FormatError: It is no such file, or not a safe one.
            ImportError: h5py is not installed.
        """
        model = cast("Model", self)
        owners = [owner for owner in _owners(model) if owner.weights]
        loader = _Loader(os.fspath(filepath), skip_mismatch, backend)
        with hdf5.opened(filepath) as root:
            stored = keras_weights.read(root, limits or DEFAULT_LIMITS)
            loader.backend = loader.checked_backend(stored.backend, owners)
            pairs = (
                _by_name(owners, stored.layers)
                if by_name
                else loader.in_order(owners, stored.layers)
            )
            for owner, layer in pairs:
                loader.take(owner, layer)
        loader.write()


# --- a model's weights, as files have them --------------------------------------


def _owners(model: Model) -> list[_Owner]:
    """The model's layers and their weights."""
    captured = model.captured
    if not captured.layers:
        return _owners_by_name(model.cells)
    shown = set(model.layers)
    return [
        _Owner(
            name,
            _in_file_order(_weights_of(layer, "", True)),
            isinstance(layer, SubModel),
        )
        for name, layer in zip(captured.names, captured.layers, strict=True)
        if layer in shown or not isinstance(layer, InputLayer)
    ]


def _owners_by_name(cells: Mapping[str, Cell]) -> list[_Owner]:
    """The layers of a model that is a graph alone: its params are ``layer/slot``."""
    found: dict[str, list[_Weight]] = {}
    for name, cell in cells.items():
        layer, _, slot = name.partition("/")
        weight = _Weight(slot, cell, False, cell.param.trainable)
        found.setdefault(layer, []).append(weight)
    return [_Owner(name, _in_file_order(weights)) for name, weights in found.items()]


def _weights_of(layer: Layer, prefix: str, trained: bool) -> Iterator[_Weight]:
    """A layer's weights in the order of `get_weights`, those of parts included."""
    trained = trained and layer.trainable
    if isinstance(layer, SubModel):
        inner = layer.captured
        for name, part in zip(inner.names, inner.layers, strict=True):
            yield from _weights_of(part, f"{prefix}{name}/", trained)
        return
    turned = _TURNED.get(type(layer).__name__, ())
    for slot, cell in layer.own_cells.items():
        yield _Weight(
            prefix + slot, cell, slot in turned, trained and cell.param.trainable
        )
    for name, part in layer.parts():
        yield from _weights_of(part, f"{prefix}{name}/" if name else prefix, trained)


def _in_file_order(
    weights: Iterator[_Weight] | Sequence[_Weight],
) -> tuple[_Weight, ...]:
    """Each once, what is trained first: recurrent state is not among them."""
    once: dict[int, _Weight] = {}
    for weight in weights:
        if not weight.cell.param.recurrent:
            once.setdefault(id(weight.cell), weight)
    return tuple(sorted(once.values(), key=lambda weight: not weight.trained))


def _written(owner: _Owner) -> LayerWeights:
    """A layer for the writer. The weights of a nested model go by its layers' names."""
    prefix = "" if owner.is_model else f"{owner.name}/"
    return LayerWeights(
        owner.name,
        tuple((f"{prefix}{w.name}:0", w.cell.array) for w in owner.weights),
    )


# --- matching a file to a model -------------------------------------------------


def _by_name(
    owners: Sequence[_Owner], layers: Sequence[StoredLayer]
) -> Iterator[tuple[_Owner, StoredLayer]]:
    known = {owner.name: owner for owner in owners}
    for layer in layers:
        if layer.name in known:
            yield known[layer.name], layer


class _Loader:
    """Gathers the arrays of a file for a model's weights, then writes them at once."""

    def __init__(self, path: str, skip_mismatch: bool, backend: str | None) -> None:
        if backend is not None and backend not in _BACKENDS:
            known = ", ".join(map(repr, _BACKENDS))
            raise DataError(
                f"load_weights: backend: expected one of {known}, received {backend!r}"
            )
        self.backend = backend
        self._path = path
        self._skip = skip_mismatch
        self._found: list[tuple[_Weight, NDArray[Any]]] = []

    def checked_backend(
        self, written: str | None, owners: Sequence[_Owner]
    ) -> str | None:
        """The backend that wrote the file: as it says, or as the caller does."""
        turned = any(weight.turned for owner in owners for weight in owner.weights)
        if written is None and self.backend is None and turned:
            raise FormatError(
                "the file does not say which backend wrote it, and convolution kernels "
                "depend on that",
                hint="say backend='tensorflow', or backend='theano'",
            )
        return written or self.backend

    def in_order(
        self, owners: Sequence[_Owner], layers: Sequence[StoredLayer]
    ) -> Iterator[tuple[_Owner, StoredLayer]]:
        if len(owners) != len(layers):
            raise DataError(
                f"{self._path}: expected {len(owners)} layers with weights, found "
                f"{len(layers)}",
                details=[
                    f"the model: {_names(owners)}",
                    f"the file:  {_names(layers)}",
                ],
                hint="by_name=True loads the layers whose names agree",
            )
        return zip(owners, layers, strict=True)

    def take(self, owner: _Owner, layer: StoredLayer) -> None:
        """Read a layer's arrays, where they fit."""
        if len(owner.weights) != len(layer.weights):
            slots = ", ".join(weight.name for weight in owner.weights)
            self._refuse(
                owner,
                layer,
                f"expected {len(owner.weights)} arrays ({slots}), found "
                f"{len(layer.weights)}",
            )
            return
        for weight, stored in zip(owner.weights, _matched(owner, layer), strict=True):
            wanted = weight.cell.param.type.shape
            if stored.shape == wanted:
                self._found.append((weight, self._native(weight, stored.read())))
            else:
                message = f"expected shape {wanted}, found {stored.shape}"
                self._refuse(owner, layer, f"{weight.name!r}: {message}")

    def _native(self, weight: _Weight, array: NDArray[Any]) -> NDArray[Any]:
        """An array of the file as ours: Theano's kernels are turned round."""
        if not weight.turned or self.backend != "theano":
            return array
        return np.flip(array, axis=tuple(range(array.ndim - 2)))

    def _refuse(self, owner: _Owner, layer: StoredLayer, what: str) -> None:
        called = "" if layer.name == owner.name else f" ({layer.name!r} in the file)"
        message = f"{self._path}: layer {owner.name!r}{called}: {what}"
        if not self._skip:
            hint = "skip_mismatch=True leaves such weights as they are"
            raise DataError(message, hint=hint)
        warnings.warn(f"{message}; left as it is", stacklevel=4)

    def write(self) -> None:
        """Put everything into the variables: all of it or, where it raises, nothing."""
        params = [replace(w.cell.param, name=w.name) for w, _ in self._found]
        with wide_scope(params):
            arrays = [
                as_variable(param, array)
                for param, (_, array) in zip(params, self._found, strict=True)
            ]
        for (weight, _), array in zip(self._found, arrays, strict=True):
            weight.cell.write(array)


def _matched(owner: _Owner, layer: StoredLayer) -> Sequence[StoredWeight]:
    """The file's arrays in the order of the layer's weights.

    Names decide where they are the same ones: the order depends on which layers of a
    nested model were frozen when it was written.
    """
    by_name = {_plain_name(stored.name, layer.name): stored for stored in layer.weights}
    ours = [weight.name for weight in owner.weights]
    if len(by_name) == len(ours) and set(by_name) == set(ours):
        return [by_name[name] for name in ours]
    return layer.weights


def _plain_name(name: str, layer: str) -> str:
    return name.removesuffix(":0").removeprefix(f"{layer}/")


def _names(layers: Sequence[_Owner] | Sequence[StoredLayer]) -> str:
    return ", ".join(layer.name for layer in layers) or "none"
