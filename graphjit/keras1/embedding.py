"""Embedding: the first layer of a model."""

from __future__ import annotations

from typing import Any

from graphjit import layers as native
from graphjit.capture.input_layer import InputLayer
from graphjit.capture.layer import layer_name
from graphjit.capture.tensor import Tensor
from graphjit.errors import CaptureError
from graphjit.keras1.settings import initial
from graphjit.keras1.spelling import Spelling, spelled
from graphjit.keras1.stand_in import StandIn

__all__ = ["Embedding"]


class _First(StandIn, native.Embedding):
    """An Embedding that is called on the data of a model alone."""

    def __call__(self, inputs: Any, *more: Any, **kwargs: Any) -> Any:
        made_by = inputs.call.layer if isinstance(inputs, Tensor) else None
        if made_by is not None and not isinstance(made_by, InputLayer):
            raise CaptureError(
                f"{layer_name(self)}: in Keras 1 it is the first layer of a model, "
                f"received the output of {layer_name(made_by)}",
                hint="graphjit.layers.Embedding may stand anywhere",
            )
        return super().__call__(inputs, *more, **kwargs)


_First.__name__ = native.Embedding.__name__

Embedding = Spelling(
    "Embedding",
    _First,
    (
        spelled("input_dim", ""),
        spelled("output_dim", ""),
        spelled("init", "embeddings_initializer", "uniform", initial),
        spelled("input_length", "", None),
        spelled("W_regularizer", "embeddings_regularizer", None),
        spelled("activity_regularizer", "", None),
        spelled("W_constraint", "embeddings_constraint", None),
        spelled("mask_zero", "", False),
        spelled("weights", "", None),
        spelled("dropout", "", 0.0),
    ),
)
