"""What `get_config` returns: a dictionary that remembers whose configuration it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphjit.capture.layer import Layer

__all__ = ["LayerConfig"]


class LayerConfig(dict[str, Any]):
    """A configuration as plain data: equal to a plain dictionary, and JSON as it is.

    The class makes it enough for `layer_from_config`, as the documents use it. A copy
    made with ``dict(config)`` or ``{**config}`` is a plain dictionary and has none.

    Attributes:
        layer_class: The class of the layer or model.

    >>> from graphjit.layers import Dense
    >>> config = Dense(2).get_config()
    >>> config.layer_class.__name__, config == dict(config)
    ('Dense', True)
    """

    def __init__(
        self, layer_class: type[Layer], config: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(config or {})
        self.layer_class = layer_class

    def __reduce__(
        self,
    ) -> tuple[type[LayerConfig], tuple[type[Layer], dict[str, Any]]]:
        return type(self), (self.layer_class, dict(self))
