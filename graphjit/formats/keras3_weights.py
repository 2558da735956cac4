"""Weights in HDF5 as Keras 3 lays them out, in `.keras` and `.weights.h5` files.

A group for every layer, its variables below ``vars`` under "0", "1", … The layers of a
model stand below ``layers`` (tf.keras 2.13: ``_layer_checkpoint_dependencies``), under
the name of their class and a number among those of that class; other layers inside of
layers under the name of the attribute that holds them. Source: Keras 3.15, saving_lib.
"""

from __future__ import annotations

import re
from typing import Any, Final

from graphjit.errors import FormatError
from graphjit.formats import extras, hdf5
from graphjit.formats.keras_weights import StoredWeight
from graphjit.formats.limits import Limits
from graphjit.formats.plain import shown

__all__ = ["is_keras_3", "members", "part", "variables"]

_VARS: Final = "vars"
_CONTAINERS: Final = ("layers", "_layer_checkpoint_dependencies")
#: What draws random numbers has a state, which is no weight.
_SEEDS: Final = ("seed_generator", "_random_generator")


def is_keras_3(root: Any) -> bool:
    """Whether a file has this layout."""
    return any(hdf5.has_child(root, name) for name in (*_CONTAINERS, _VARS))


def variables(group: Any, limits: Limits) -> tuple[StoredWeight, ...]:
    """The variables of a layer alone, in order; none where it has no group.

    Raises:
        FormatError: They are not numbered from 0, or not safe to read.
    """
    if group is None or not hdf5.has_child(group, _VARS):
        return ()
    own = hdf5.child(group, _VARS)
    count = len(own)
    if count > limits.tensors:
        limits.refuse("tensors", str(own.name), f"{count} variables")
    found: list[StoredWeight] = []
    for name in map(str, range(count)):
        dataset = hdf5.child(own, name)
        shape, _ = hdf5.array_type(dataset, limits)
        found.append(StoredWeight(name, shape, dataset))
    return tuple(found)


def part(group: Any, *names: str) -> Any:
    """The group of a layer inside: under the first of the names that is there."""
    for name in names:
        if group is not None and hdf5.has_child(group, name):
            return hdf5.child(group, name)
    return None


def members(group: Any, stem: str, limits: Limits, *places: str) -> list[Any]:
    """The groups of a model's layers of one class that hold variables, in order.

    Args:
        group: The model's; None where it has none.
        stem: The class's name in snake case.
        limits: What the file may ask for.
        places: Where they stand in the group; where Keras puts a model's layers else.
    """
    container = part(group, *(places or _CONTAINERS))
    if container is None:
        return []
    if len(container) > limits.tensors:
        limits.refuse("tensors", str(container.name), f"{len(container)} layers")
    numbered: list[tuple[int, Any]] = []
    for name in container:
        match = re.fullmatch(rf"{re.escape(stem)}(?:_(\d{{1,9}}))?", str(name))
        if match is not None:
            child = hdf5.child(container, str(name))
            if _holds_variables(child, limits.depth):
                numbered.append((int(match[1] or 0), child))
    return [child for _, child in sorted(numbered, key=lambda item: item[0])]


def _holds_variables(group: Any, depth: int) -> bool:
    return _holds(group, depth, set())


def _holds(item: Any, depth: int, seen: set[Any]) -> bool:
    """Whether there is an array in it; each group is looked into once."""
    h5py = extras.h5py()
    if isinstance(item, h5py.Dataset):
        return True
    if not isinstance(item, h5py.Group) or item in seen:
        return False
    if depth <= 0:
        raise FormatError(f"{shown(item.name)}: nested too deep")
    seen.add(item)
    return any(
        _holds(hdf5.child(item, str(name)), depth - 1, seen)
        for name in item
        if name not in _SEEDS
    )
