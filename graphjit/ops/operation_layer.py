"""Operation: a function of tensors as a layer, by its name."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from graphjit.capture.arguments import Unfit, arg
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer, layer_name
from graphjit.errors import CaptureError, nearest
from graphjit.functions import function_of
from graphjit.ir import Value
from graphjit.narrow import mapping_of, sequence_of
from graphjit.ops.abstract_call import traced_types
from graphjit.ops.base import with_fields
from graphjit.ops.lambda_op import LambdaOp
from graphjit.ops.operation_forms import native_form
from graphjit.ops.tensor_functions import (
    TENSOR_FUNCTIONS,
    call_by_name,
    with_operands,
)
from graphjit.types import TensorType

__all__ = ["Operation"]

#: How deep lists may stand in lists.
_DEPTH = 16


def _function(value: Any) -> str:
    if isinstance(value, str) and value in TENSOR_FUNCTIONS:
        return value
    guess = nearest(value, list(TENSOR_FUNCTIONS)) if isinstance(value, str) else None
    raise Unfit(f"a known function{f' (the nearest is {guess!r})' if guess else ''}")


def _arguments(value: Any) -> tuple[tuple[str, Any], ...]:
    given = mapping_of({} if value is None else value)
    if given is None or not all(map(str.isidentifier, map(str, given))):
        raise Unfit("a dictionary of settings")
    return tuple((name, _plain(item, _DEPTH)) for name, item in given.items())


def _plain(given: Any, depth: int) -> Any:
    value: Any = given.tolist() if hasattr(given, "tolist") else given
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    items = sequence_of(value)
    if depth and items is not None:
        return tuple(_plain(item, depth - 1) for item in items)
    raise Unfit("finite numbers, strings, booleans, None, and lists of them")


@LAYERS.register("Operation")
class Operation(Layer):
    """A function of tensors by its name, with settings.

    Models of tf.keras and Keras 3 hold such calls wherever their user wrote ``x + 1``,
    ``x[:, 0]`` or ``ops.mean(x)`` on symbolic tensors. The names are Keras 3's, which
    are NumPy's.

    Shapes:
        x0, x1, …: any  ->  what the function returns

    Args:
        function: Its name, such as "add", "mean", "get_item".
        arguments: Its settings by name, such as ``{"axis": 1}``. Numbers among the
            operands stand under "operands", with None for every tensor:
            ``{"operands": [1.0, None]}``. The key of "get_item" has a slice as a text:
            ``{"key": [":", 0, "1:3", "..."]}``.

    >>> import graphjit as gj
    >>> x = gj.Input((4, 3))
    >>> gj.layers.Operation("mean", {"axis": 1})(x).shape
    (None, 3)
    """

    casts_floats = False

    function: str = arg(converter=_function)
    arguments: Any = arg(default=None, converter=_arguments)

    def check(self) -> None:
        parameters = inspect.signature(TENSOR_FUNCTIONS[self.function]).parameters
        for name, _ in self.argument("arguments"):
            if name not in parameters and name != "operands":
                message = f"there is no setting {name!r} of {self.function!r}"
                raise CaptureError(f"{layer_name(self)}: arguments: {message}")

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["arguments"] = dict(config["arguments"])
        return config

    def emit(self, emitter: Emitter, *inputs: Value) -> Value | Sequence[Value]:
        settings = dict(self.argument("arguments"))
        rest = {key: item for key, item in settings.items() if key != "operands"}
        operands = with_operands(inputs, settings.get("operands"))
        found = native_form(emitter, self.function, operands, rest)
        return self._traced(emitter, inputs, settings) if found is None else found

    def _traced(
        self, emitter: Emitter, inputs: Sequence[Value], settings: Mapping[str, Any]
    ) -> Value | Sequence[Value]:
        """The function itself, for which there is no op."""
        text = json.dumps(settings, sort_keys=True, allow_nan=False)
        op = LambdaOp(
            function_of(call_by_name),
            (),
            (("function", self.function), ("arguments", text)),
            inputs=len(inputs),
            spread=True,
        )
        types = [emitter.type_of(value) for value in inputs]
        returned = traced_types(op.call, types, emitter.title)
        found = sequence_of(returned) or [returned]
        if not all(isinstance(type_, TensorType) for type_ in found):
            raise CaptureError(f"{emitter.title}: expected arrays, received {returned}")
        results = emitter.node(with_fields(op, types=tuple(found)), *inputs)
        return results[0] if len(results) == 1 else results
