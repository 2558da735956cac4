"""Which Keras wrote a configuration, and what it meant by what it left unsaid."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from graphjit.capture.layer import Layer
from graphjit.narrow import mapping_of

__all__ = ["NATIVE", "Origin", "origin_of"]


@dataclass(frozen=True, slots=True)
class Origin:
    """The Keras a configuration is from.

    Attributes:
        generation: 1, 2 or 3; 0 for our own `get_config`, or what a user wrote.
        version: Such as (2, 2, 4); () where it is not known.
        in_tensorflow: Whether it is the Keras inside TensorFlow.
        backend: What Keras ran on; None where it is not said.
    """

    generation: int = 0
    version: tuple[int, ...] = ()
    in_tensorflow: bool = False
    backend: str | None = None

    def unsaid(self, cls: type[Layer], config: Mapping[str, Any]) -> dict[str, Any]:
        """What a configuration without these keys means, where defaults differ."""
        if self.generation not in (1, 2):
            return {}
        meant: dict[str, Any] = {
            # Settings that came later; before, there was only this one.
            "reset_after": False,
            "data_format": "channels_last",
        }
        if self.version and self.version < (2, 3):
            meant["recurrent_activation"] = "hard_sigmoid"
        if not self.is_tensorflow:
            meant["zeros_where_masked"] = False
            meant["frozen"] = "keep" if self.version >= (2, 1, 3) else "update"
            meant["reverse_state_order"] = () < self.version < (2, 2, 3)
        known = cls.arguments
        return {k: v for k, v in meant.items() if k in known and k not in config}

    @property
    def is_tensorflow(self) -> bool:
        """Whether it is tf.keras, as far as that can be known."""
        # From 2.4 on there is no Keras 2 outside of TensorFlow.
        return self.in_tensorflow or self.version >= (2, 4)

    @property
    def drops_masks(self) -> bool:
        """Whether a mask ends silently at a layer that cannot carry it."""
        return self.generation == 3 or (self.generation == 2 and self.is_tensorflow)

    def __str__(self) -> str:
        number = ".".join(map(str, self.version))
        title = "tf.keras" if self.in_tensorflow else "Keras"
        if self.generation == 2 and self.version >= (2, 4):
            title = "tf.keras"
        return f"{title} {number or self.generation}"

    @property
    def hard_sigmoid(self) -> str:
        """Our name of the function this Keras calls hard_sigmoid."""
        return "hard_sigmoid_relu6" if self.generation == 3 else "hard_sigmoid"


#: Written by us or by hand: everything has its native default.
NATIVE: Final = Origin()

#: Keys that only Keras 3 writes at the root of a model without its version.
_KERAS_3_MARKS: Final = ("module", "registered_name", "build_config")


def origin_of(root: object, otherwise: Origin = NATIVE) -> Origin:
    """What the outermost dictionary of a model tells of its writer.

    Args:
        root: A dictionary with class_name and config, and perhaps keras_version.
        otherwise: The answer where it tells nothing.

    >>> print(origin_of({"class_name": "Model", "keras_version": "2.2.4-tf"}))
    tf.keras 2.2.4
    """
    told = mapping_of(root) or {}
    version = told.get("keras_version")
    if isinstance(version, str) and version[:1].isdigit():
        numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
        backend = told.get("backend")
        return Origin(
            min(numbers[0], 3),
            numbers,
            version.endswith("-tf"),
            backend if isinstance(backend, str) else None,
        )
    if any(key in told for key in _KERAS_3_MARKS):
        return Origin(3)
    return otherwise
