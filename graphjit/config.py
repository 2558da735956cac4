"""The user's defaults: image data format, float type, epsilon.

They are read when a layer is made and never after: the IR does not depend on them.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphjit.errors import CaptureError, expected

__all__ = [
    "epsilon",
    "floatx",
    "image_data_format",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
]

_FLOATS = ("bfloat16", "float16", "float32", "float64")
_FORMATS = ("channels_last", "channels_first")


@dataclass(slots=True)
class _Settings:
    image_data_format: str = "channels_last"
    floatx: str = "float32"
    epsilon: float = 1e-7


_settings = _Settings()


def image_data_format() -> str:
    """Where image layers look for channels unless told: "channels_last" at first."""
    return _settings.image_data_format


def set_image_data_format(data_format: str) -> None:
    """Set the default data format: "channels_last" or "channels_first"."""
    if data_format not in _FORMATS:
        wanted = "'channels_last' or 'channels_first'"
        expected(CaptureError, "image_data_format", wanted, data_format, known=_FORMATS)
    _settings.image_data_format = data_format


def floatx() -> str:
    """The default element type of inputs and layers: "float32" at first."""
    return _settings.floatx


def set_floatx(dtype: str) -> None:
    """Set the default element type: one of the floating ones."""
    if dtype not in _FLOATS:
        expected(CaptureError, "floatx", f"one of {_FLOATS}", dtype, known=_FLOATS)
    _settings.floatx = dtype


def epsilon() -> float:
    """The small number that keeps divisions finite: 1e-7 at first."""
    return _settings.epsilon


def set_epsilon(value: float) -> None:
    """Set the small number that keeps divisions finite; it must be positive."""
    if not 0 < value < 1:
        expected(CaptureError, "epsilon", "a number between 0 and 1", value)
    _settings.epsilon = float(value)
