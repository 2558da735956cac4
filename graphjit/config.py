"""The user's defaults: image data format, float type, epsilon, backend name.

They come from ``~/.graphjit/graphjit.json`` where there is one (`GRAPHJIT_HOME` names
another folder), read when a setting is first asked for and never written::

    {"image_data_format": "channels_first", "floatx": "float32", "epsilon": 1e-07}

The functions here change them for the process, and `using` for a block. Settings are
read when a layer is made and never after: the IR does not depend on them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Generator, Mapping
from contextvars import ContextVar
from typing import Any

from graphjit.config_file import config_path, read_config
from graphjit.errors import CaptureError
from graphjit.runtime import keep_host_memory, set_compilation_cache
from graphjit.settings import DIM_ORDERINGS, Settings, settings_from

__all__ = [
    "backend",
    "config_path",
    "epsilon",
    "floatx",
    "image_data_format",
    "image_dim_ordering",
    "keep_host_memory",
    "set_compilation_cache",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "set_image_dim_ordering",
    "using",
]

_lock = threading.Lock()
#: The settings of the process; None until they are first asked for.
_process: Settings | None = None
#: What `using` changed in this thread or task.
_changed: ContextVar[Mapping[str, Any] | None] = ContextVar("graphjit_using")


def _loaded() -> Settings:
    """The settings of the process. A file that cannot be read is an error each time."""
    global _process
    with _lock:
        if _process is None:
            _process = dataclasses.replace(Settings(), **read_config())
        return _process


def _get(name: str) -> Any:
    changed = _changed.get(None)
    if changed is not None and name in changed:
        return changed[name]
    return getattr(_loaded(), name)


def _set(**given: Any) -> None:
    """Change settings: in the block of `using` that holds them, or in the process."""
    global _process
    found = settings_from(given, CaptureError)
    changed = _changed.get(None) or {}
    if all(name in changed for name in found):
        _changed.set({**changed, **found})
        return
    before = _loaded()
    with _lock:
        _process = dataclasses.replace(_process or before, **found)


def image_data_format() -> str:
    """Where image layers look for channels unless told: "channels_last" at first."""
    return _get("image_data_format")


def set_image_data_format(data_format: str) -> None:
    """Set the default data format: "channels_last" or "channels_first"."""
    _set(image_data_format=data_format)


def image_dim_ordering() -> str:
    """The data format by its Keras 1 name: "tf" is channels_last, "th" channels_first.

    >>> image_dim_ordering()
    'tf'
    """
    formats = {data_format: name for name, data_format in DIM_ORDERINGS.items()}
    return formats[image_data_format()]


def set_image_dim_ordering(dim_ordering: str) -> None:
    """Set the default data format by its Keras 1 name: "tf" or "th"."""
    _set(image_dim_ordering=dim_ordering)


def floatx() -> str:
    """The default element type of inputs and layers: "float32" at first."""
    return _get("floatx")


def set_floatx(dtype: str) -> None:
    """Set the default element type: one of the floating ones."""
    _set(floatx=dtype)


def epsilon() -> float:
    """The small number that keeps divisions finite: 1e-7 at first."""
    return _get("epsilon")


def set_epsilon(value: float) -> None:
    """Set the small number that keeps divisions finite; it must be positive."""
    _set(epsilon=value)


def backend() -> str:
    """The backend that the config file names, "jax" at first. It has no effect."""
    return _get("backend")


@contextlib.contextmanager
def using(
    *,
    image_data_format: str | None = None,
    image_dim_ordering: str | None = None,
    floatx: str | None = None,
    epsilon: float | None = None,
) -> Generator[None]:
    """Other settings inside a block, in this thread or task alone.

    Blocks nest. A ``set_…`` inside changes the setting until the block ends, where the
    block holds that setting.

    Args:
        image_data_format: "channels_last" or "channels_first".
        image_dim_ordering: The same by its Keras 1 name, "tf" or "th".
        floatx: The default element type.
        epsilon: A positive number.

    Raises:
        CaptureError: A value is not one of these, or the two names of the data format
            disagree.

    >>> import graphjit as gj
    >>> with gj.config.using(floatx="float64", image_dim_ordering="th"):
    ...     x = gj.Input((3, 8, 8))
    ...     gj.layers.Conv2D(2, 3)(x)
    <Tensor float64[batch, 2, 6, 6] of 'Conv2D'>
    >>> gj.config.floatx()
    'float32'
    """
    given = {
        "image_data_format": image_data_format,
        "image_dim_ordering": image_dim_ordering,
        "floatx": floatx,
        "epsilon": epsilon,
    }
    written = {name: value for name, value in given.items() if value is not None}
    found = settings_from(written, CaptureError)
    token = _changed.set({**(_changed.get(None) or {}), **found})
    try:
        yield
    finally:
        _changed.reset(token)
