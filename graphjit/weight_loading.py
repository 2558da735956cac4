"""Taking a file's arrays into a model's variables: matched, converted, then written."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from numpy.typing import NDArray

from graphjit.capture.cell import as_variables, wide_scope
from graphjit.errors import DataError, FormatError
from graphjit.formats.keras_arrays import (
    Writer,
    depends_on_backend,
    native_arrays,
    possible_counts,
)
from graphjit.formats.keras_weights import Stored, StoredLayer, StoredWeight
from graphjit.weight_owners import Leaf, Owner, Weight, names_of

__all__ = ["BACKENDS", "Loader", "by_name", "checked_backend"]

BACKENDS: Final = ("tensorflow", "theano", "cntk", "jax", "torch", "numpy")


def checked_backend(backend: str | None, what: str) -> str | None:
    """A backend's name.

    Raises:
        DataError: Keras has no such backend.
    """
    if backend is None or backend in BACKENDS:
        return backend
    known = ", ".join(map(repr, BACKENDS))
    raise DataError(f"{what}: backend: expected one of {known}, received {backend!r}")


def by_name(
    owners: Sequence[Owner], layers: Sequence[StoredLayer]
) -> Iterator[tuple[Owner, StoredLayer]]:
    """The layers whose names agree."""
    known = {owner.name: owner for owner in owners}
    for layer in layers:
        if layer.name in known:
            yield known[layer.name], layer


class Loader:
    """Gathers the arrays of a file for a model's weights, then writes them at once.

    Args:
        path: What messages call the file.
        writer: What wrote it.
        skip_mismatch: Leave what does not fit, with a warning, instead of raising.
    """

    def __init__(self, path: str, writer: Writer, skip_mismatch: bool = False) -> None:
        self.writer = writer
        self._path = path
        self._skip = skip_mismatch
        self._found: list[tuple[Weight, NDArray[Any]]] = []

    @classmethod
    def of(
        cls,
        path: str,
        stored: Stored,
        owners: Sequence[Owner],
        backend: str | None,
        skip_mismatch: bool = False,
    ) -> Loader:
        """One for a file in Keras 2's layout.

        Raises:
            FormatError: The backend that wrote it matters, and nobody says it.
        """
        writer = Writer(stored.generation, stored.backend or backend)
        if writer.backend is None:
            check_backend_is_known(owners)
        return cls(path, writer, skip_mismatch)

    def in_order(
        self, owners: Sequence[Owner], layers: Sequence[StoredLayer]
    ) -> Iterator[tuple[Owner, StoredLayer]]:
        """The first layer with the first, and so on."""
        if len(owners) != len(layers):
            stored = ", ".join(layer.name for layer in layers) or "none"
            raise DataError(
                f"{self._path}: expected {len(owners)} layers with weights, found "
                f"{len(layers)}",
                details=[
                    f"the model: {names_of(owners)}",
                    f"the file:  {stored}",
                ],
                hint="by_name=True loads the layers whose names agree",
            )
        return zip(owners, layers, strict=True)

    def take(self, owner: Owner, layer: StoredLayer) -> None:
        """Read a layer's arrays, where they fit."""
        wanted = owner.weights
        counts = self._counts(owner, len(layer.weights))
        if counts is None:
            slots = ", ".join(weight.name for weight in wanted)
            self._refuse(
                owner,
                layer,
                f"expected {len(wanted)} arrays ({slots}), found {len(layer.weights)}",
            )
            return
        matched = _matched(owner, layer, counts)
        for leaf, stored in zip(owner.leaves, matched, strict=True):
            self._take_leaf(owner, layer, leaf, stored)

    def _counts(self, owner: Owner, count: int) -> list[int] | None:
        """How many of `count` arrays each leaf has; None where they do not fit."""
        options = [
            possible_counts(leaf.layer, len(leaf.weights), self.writer)
            for leaf in owner.leaves
        ]
        deepest = max((len(choice) for choice in options), default=1)
        for at in range(deepest):
            counts = [choice[min(at, len(choice) - 1)] for choice in options]
            if sum(counts) == count:
                return counts
        native = [len(leaf.weights) for leaf in owner.leaves]
        return native if sum(native) == count else None

    def _take_leaf(
        self,
        owner: Owner,
        layer: StoredLayer,
        leaf: Leaf,
        stored: Sequence[StoredWeight],
    ) -> None:
        shapes = [weight.cell.param.type.shape for weight in leaf.weights]
        known = [tuple(d for d in shape if isinstance(d, int)) for shape in shapes]
        try:
            arrays = native_arrays(
                leaf.layer, [weight.read() for weight in stored], known, self.writer
            )
        except DataError as error:
            name = leaf.weights[0].name
            self._refuse(owner, layer, f"{name!r}: {error.message}")
            return
        for weight, shape, array in zip(leaf.weights, known, arrays, strict=True):
            if array.shape == shape:
                self._found.append((weight, array))
            else:
                message = f"expected shape {shape}, found {array.shape}"
                self._refuse(owner, layer, f"{weight.name!r}: {message}")

    def _refuse(self, owner: Owner, layer: StoredLayer, what: str) -> None:
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
            arrays = as_variables(params, [array for _, array in self._found])
        for (weight, _), array in zip(self._found, arrays, strict=True):
            weight.cell.write(array)


def check_backend_is_known(owners: Sequence[Owner]) -> None:
    """Refuse to guess a backend that the meaning of kernels depends on."""
    for owner in owners:
        for leaf in owner.leaves:
            shapes = [weight.cell.param.type.shape for weight in leaf.weights]
            known = [tuple(d for d in shape if isinstance(d, int)) for shape in shapes]
            if depends_on_backend(leaf.layer, known):
                raise FormatError(
                    "the file does not say which backend wrote it, and convolution "
                    f"kernels depend on that (layer {owner.name!r})",
                    hint="say backend='tensorflow', or backend='theano'",
                )


def _matched(
    owner: Owner, layer: StoredLayer, counts: Sequence[int]
) -> list[list[StoredWeight]]:
    """For every leaf its arrays in the file.

    Names decide where they are the same ones: the order depends on which layers of a
    nested model were frozen when it was written.
    """
    named = {_plain_name(stored.name, layer.name): stored for stored in layer.weights}
    ours = [weight.name for leaf in owner.leaves for weight in leaf.weights]
    if len(named) == len(ours) and set(named) == set(ours):
        return [[named[w.name] for w in leaf.weights] for leaf in owner.leaves]
    places: list[tuple[bool, int]] = []
    for at, (leaf, count) in enumerate(zip(owner.leaves, counts, strict=True)):
        if count == len(leaf.weights):
            places += [(not weight.trained, at) for weight in leaf.weights]
        else:
            places += [(not leaf.trained, at)] * count
    found: list[list[StoredWeight]] = [[] for _ in owner.leaves]
    order = sorted(places, key=lambda place: place[0])
    for (_, at), stored in zip(order, layer.weights, strict=True):
        found[at].append(stored)
    return found


def _plain_name(name: str, layer: str) -> str:
    return name.removesuffix(":0").removeprefix(f"{layer}/")
