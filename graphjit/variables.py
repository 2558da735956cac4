"""Variables as nested dictionaries by layer name, and as flat ones by param name.

A param is called ``layer/slot``; ``encoder/conv/kernel`` nests as
``{"encoder": {"conv": {"kernel": …}}}``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from graphjit.errors import DataError, nearest
from graphjit.host_random import numpy_dtype
from graphjit.ir import Param
from graphjit.narrow import mapping_of

__all__ = ["device_copy", "device_given", "flatten", "leaf", "nest"]


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dictionaries from param names.

    >>> nest({"dense/kernel": 1, "dense/bias": 2})
    {'dense': {'kernel': 1, 'bias': 2}}
    """
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *path, slot = name.split("/")
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
        branch[slot] = value
    return tree


def leaf(tree: Mapping[str, Any], name: str, what: str) -> Any:
    """The entry of a nested dictionary for the param called `name`.

    Raises:
        DataError: There is none; the message says at which level it is missing.
    """
    branch: Any = tree
    for part in name.split("/"):
        level = mapping_of(branch)
        if level is None or part not in level:
            guess = nearest(part, map(str, level or ()))
            raise DataError(
                f"{what}: expected an entry for {name!r}, found none at {part!r}",
                hint=f"did you mean {guess!r}?" if guess else None,
            )
        branch = level[part]
    return branch


def flatten(variables: Mapping[str, Any], params: Iterable[Param]) -> dict[str, Any]:
    """``{"params": …, "state": …}`` as a flat dictionary by param name.

    Raises:
        DataError: A collection or an entry is missing.
    """
    flat: dict[str, Any] = {}
    for param in params:
        tree = mapping_of(variables.get(param.collection))
        if tree is None:
            raise DataError(
                f"variables: expected the collection {param.collection!r}, received "
                f"{sorted(map(str, variables))}"
            )
        what = f"variables[{param.collection!r}]"
        flat[param.name] = leaf(tree, param.name, what)
    return flat


def device_copy(given: Any, dtype: str) -> jax.Array:
    """`given` on the device, copied before this returns.

    `jnp.array(given, copy=True)` copies a large array later (JAX 0.10), so a caller
    who goes on writing to it would change the weights; and it compiles a program for
    every shape. `device_put` may keep the memory it is given: here nobody else has it.
    """
    return jax.device_put(np.array(given, dtype=numpy_dtype(dtype), copy=True))


def device_given(given: Sequence[Any], dtypes: Sequence[str]) -> list[jax.Array]:
    """Arrays on the device, in one dispatch and without a copy that is not needed.

    For arrays that nobody will write to: `device_put` may keep their memory, or read it
    after this has returned.
    """
    arrays = [
        np.asarray(item, numpy_dtype(dtype))
        for item, dtype in zip(given, dtypes, strict=True)
    ]
    return jax.device_put(arrays)
