"""`save_weights` and `load_weights`: a model's weights in Keras 2's HDF5 files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, cast

from graphjit.errors import FormatError
from graphjit.formats import hdf5, keras_weights
from graphjit.formats.keras_weights import LayerWeights
from graphjit.formats.limits import DEFAULT_LIMITS, Limits
from graphjit.weight_loading import Loader, checked_backend
from graphjit.weight_loading import by_name as matched_by_name
from graphjit.weight_owners import Owner, owners_of

if TYPE_CHECKING:
    from graphjit.model import Model

__all__ = ["WithWeightFiles"]

_ENDINGS: Final = (".h5", ".hdf5")
_KERAS_3_ENDING: Final = ".weights.h5"


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
        keras_weights.save(name, [_written(owner) for owner in owners_of(model)])

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
                say: "theano" turned convolution kernels round. Files of Keras 1, whose
                arrays are laid out otherwise, never say.
            limits: What a file may ask of the reader; None for the defaults.

        Raises:
            DataError: Layers, counts or shapes differ; the message names the layer.
                Nothing is changed then.
            FormatError: It is no such file, or not a safe one.
            ImportError: h5py is not installed.
        """
        model = cast("Model", self)
        owners = [owner for owner in owners_of(model) if owner.leaves]
        name = os.fspath(filepath)
        backend = checked_backend(backend, "load_weights")
        with hdf5.opened(filepath) as root:
            stored = keras_weights.read(root, limits or DEFAULT_LIMITS)
            loader = Loader.of(name, stored, owners, backend, skip_mismatch)
            pairs = (
                matched_by_name(owners, stored.layers)
                if by_name
                else loader.in_order(owners, stored.layers)
            )
            for owner, layer in pairs:
                loader.take(owner, layer)
        loader.write()


def _written(owner: Owner) -> LayerWeights:
    """A layer for the writer. The weights of a nested model go by its layers' names."""
    prefix = "" if owner.is_model else f"{owner.name}/"
    return LayerWeights(
        owner.name,
        tuple((f"{prefix}{w.name}:0", w.cell.array) for w in owner.weights),
    )
