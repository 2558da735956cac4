"""Lambda: a user's function as a layer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from graphjit.capture.arguments import Unfit, arg
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer, Named
from graphjit.errors import CaptureError, ShapeError
from graphjit.functions import FUNCTIONS, function_of
from graphjit.ir import Value
from graphjit.narrow import mapping_of, sequence_of
from graphjit.ops.abstract_call import traced_types
from graphjit.ops.base import with_fields
from graphjit.ops.elementwise import Cast
from graphjit.ops.lambda_op import LambdaOp, Setting
from graphjit.types import TensorType, unify_shapes

__all__ = ["Lambda"]

Fn = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class _Written(Named):
    """A function as an argument: a configuration holds its name."""

    fn: Fn
    name: str


def _function(value: Any) -> _Written:
    """Reader of a function, or of the name one is registered under."""
    written = mapping_of(value)
    if written is not None:
        if written.get("class_name") == "__lambda__":
            raise CaptureError(
                "the file holds the function as code, which is never run",
                hint="give the layer's function yourself, or save it under a name",
            )
        value = written.get("registered_name") or written.get("config")
    if isinstance(value, str):
        if value not in FUNCTIONS:
            raise CaptureError(
                f"no function is registered as {value!r}",
                hint=f'define it under @gj.register("{value}") first',
            )
        return _Written(FUNCTIONS.get(value), value)
    if not callable(value):
        raise Unfit("a function, or the name of a registered one")
    return _Written(value, function_of(value).name)


def _optional_function(value: Any) -> _Written | None:
    if value is None:
        return None
    if not (callable(value) or isinstance(value, str) or mapping_of(value)):
        raise Unfit("a function of (inputs, mask), or None")
    return _function(value)


def _output_shape(value: Any) -> tuple[int | None, ...] | _Written | None:
    """A shape without the batch, or a function of the shape with it."""
    if value is None:
        return None
    items = sequence_of(value)
    if items is None:
        return _function(value)
    if not all(dim is None or type(dim) is int for dim in items):
        raise Unfit("a tuple of ints or None, without the batch axis, or a function")
    return tuple(items)


def _arguments(value: Any) -> tuple[tuple[str, Setting], ...]:
    """Keyword arguments by name, of values that a file can hold."""
    if value is None:
        return ()
    given = mapping_of(value)
    if given is None or not all(map(str.isidentifier, map(str, given))):
        raise Unfit("a dictionary of keyword arguments")
    return tuple((name, _setting(item)) for name, item in given.items())


def _setting(given: Any) -> Setting:
    value: Any = given.tolist() if hasattr(given, "tolist") else given
    items = sequence_of(value)
    if items is None and _is_plain(value):
        return value
    if items is None or not all(map(_is_plain, items)):
        raise Unfit(
            "numbers, strings, booleans, None and tuples of them (a function that "
            "needs another object can hold it itself: lambda x: f(x, thing))"
        )
    return tuple(items)


def _is_plain(value: object) -> bool:
    return value is None or type(value) in (bool, int, float, str)


@LAYERS.register("Lambda")
class Lambda(Layer):
    """A function of JAX arrays as a layer.

    The function is traced when the layer is called, to learn the types of what it
    returns; free dims such as the batch are tried with odd sizes. Parameters of it
    that are called ``mask`` and ``training`` are given the mask of the input, and
    whether the model trains. To save a model with it, register the function:
    ``@gj.register("name")``.

    Shapes:
        x, or a list of tensors  ->  what the function returns: one tensor, or several

    Args:
        function: Of one array, or of a list of them where the layer is called on
            several; or the name it is registered under.
        output_shape: What the result's shape is to be: a tuple without the batch axis;
            or a function from the input's shape, which has None for the batch (a list
            of shapes for several inputs), to the output's with the batch.
        mask: A function (inputs, mask) -> mask of the output, or None; without one the
            layer refuses inputs with masks.
        arguments: Keyword arguments of the function: numbers, strings, booleans, None,
            or tuples of them.

    >>> import graphjit as gj
    >>> gj.layers.Lambda(lambda x: x**2)(gj.Input((3,))).shape
    (None, 3)
    """

    function: _Written = arg(converter=_function)
    output_shape: Any = arg(default=None, converter=_output_shape)
    mask: _Written | None = arg(default=None, converter=_optional_function)
    arguments: Any = arg(default=None, converter=_arguments)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["arguments"] = dict(config["arguments"])
        return config

    def emit(self, emitter: Emitter, *inputs: Value) -> Value | Sequence[Value]:
        fn, settings = self.function.fn, self.argument("arguments")
        free = _parameters(fn) - {name for name, _ in settings}
        op = LambdaOp(
            function_of(fn),
            (),
            settings,
            inputs=len(inputs),
            masks="keyword" if "mask" in free else "",
            training=True if "training" in free else None,
        )
        operands = [*inputs, *(emitter.masks if op.masks else ())]
        types = _types(emitter, operands)
        returned = traced_types(op.call, types, f"{emitter.title}: function")
        found = sequence_of(returned) or [returned]
        if not all(isinstance(type_, TensorType) for type_ in found):
            message = "expected an array or a list of arrays from the function"
            raise CaptureError(f"{emitter.title}: {message}, received {returned!r}")
        checked = self._checked(emitter, types[: len(inputs)], found)
        return emitter.node(with_fields(op, types=checked), *operands)

    def _checked(
        self,
        emitter: Emitter,
        inputs: Sequence[TensorType | None],
        found: Sequence[TensorType],
    ) -> tuple[TensorType, ...]:
        """The types found, with what `output_shape` adds to them."""
        wanted: tuple[int | None, ...] | _Written | None = self.argument("output_shape")
        if wanted is None:
            return tuple(found)
        if isinstance(wanted, _Written):
            shapes = [type_.user_shape() for type_ in inputs if type_ is not None]
            stated = wanted.fn(shapes[0] if len(shapes) == 1 else shapes)
            listed = sequence_of(stated) or []
            several = bool(listed) and sequence_of(listed[0]) is not None
            stated = [tuple(item) for item in listed] if several else [tuple(listed)]
        else:
            stated = [(None, *wanted)]
        received = [type_.user_shape() for type_ in found]
        try:
            return tuple(
                type_.with_shape(unify_shapes(type_.shape, shape))
                for type_, shape in zip(found, stated, strict=True)
            )
        except (ShapeError, ValueError):
            raise ShapeError(
                f"{emitter.title}: output_shape says {_listed(stated)}, but the "
                f"function returns {_listed(received)}, the batch included"
            ) from None

    def emit_masks(
        self,
        emitter: Emitter,
        inputs: Sequence[Value],
        masks: Sequence[Value | None],
        outputs: Sequence[Value],
    ) -> Sequence[Value | None]:
        if self.mask is None:
            return super().emit_masks(emitter, inputs, masks, outputs)
        op = LambdaOp(function_of(self.mask.fn), (), inputs=len(inputs), masks="second")
        operands = [*inputs, *masks]
        title = f"{emitter.title}: mask"
        returned = traced_types(op.call, _types(emitter, operands), title)
        found: list[Any] = sequence_of(returned) or [returned]
        if len(found) != len(outputs):
            message = f"expected {len(outputs)} masks, received {len(found)}"
            raise CaptureError(f"{title}: {message}")
        types = tuple(type_ for type_ in found if type_ is not None)
        if not all(isinstance(type_, TensorType) for type_ in types):
            raise CaptureError(f"{title}: expected an array or None for every output")
        if not types:
            return [None] * len(outputs)
        values = iter(emitter.node(with_fields(op, types=types), *operands))
        return [
            None if type_ is None else _boolean(emitter, next(values))
            for type_ in found
        ]


def _parameters(fn: Fn) -> set[str]:
    """The names of a function's parameters; none where it does not tell."""
    try:
        return set(inspect.signature(fn).parameters)
    except (TypeError, ValueError):
        return set()


def _types(
    emitter: Emitter, operands: Sequence[Value | None]
) -> list[TensorType | None]:
    return [None if value is None else emitter.type_of(value) for value in operands]


def _boolean(emitter: Emitter, mask: Value) -> Value:
    return (
        mask if emitter.type_of(mask).dtype == "bool" else emitter(Cast("bool"), mask)
    )


def _listed(shapes: Sequence[Sequence[int | None]]) -> str:
    return ", ".join(str(tuple(shape)) for shape in shapes)
