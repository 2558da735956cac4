"""The activation functions of Keras 1 and 2, and silu, gelu, relu6, hard_silu, mish.

Each is an `Activation`: a name that configurations store and the op it stands for. It
can be called on arrays::

    >>> import graphjit as gj
    >>> gj.activations.relu([-1.0, 2.0]).tolist()
    [0.0, 2.0]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jax
import jax.numpy as jnp

from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import Named
from graphjit.errors import CaptureError, ShapeError, expected
from graphjit.functions import function_of
from graphjit.ir import Value
from graphjit.narrow import mapping_of
from graphjit.ops import elementwise as ew
from graphjit.ops.base import Op
from graphjit.ops.function_op import FunctionOp
from graphjit.ops.reduce import LogSoftmax, Softmax
from graphjit.registry import Registry
from graphjit.types import TensorType

__all__ = ["ACTIVATIONS", "Activation", "get", "serialize"]

#: From the type an activation is applied to, to its op; None for no op at all.
Build = Callable[[TensorType], "Op | None"]


@dataclass(frozen=True, slots=True)
class Activation(Named):
    """An activation function: its name in configurations, and its op.

    Attributes:
        name: The registered name; for a user's function the function's own.
        build: The op for a given type.
    """

    name: str
    build: Build

    def emit(self, emitter: Emitter, value: Value) -> Value:
        """Apply it to a value of a layer being called."""
        op = self.build(emitter.type_of(value))
        return value if op is None else emitter(op, value)

    def __call__(self, x: Any) -> jax.Array:
        """Apply it to an array.

        Shapes:
            x: (...)  ->  (...)
        """
        array = jnp.asarray(x)
        op = self.build(TensorType(array.shape, array.dtype.name))
        return array if op is None else op.lower(array)

    def __repr__(self) -> str:
        return f"<activation {self.name}>"


ACTIVATIONS: Final[Registry[Activation]] = Registry("activation")


def _add(name: str, op: Op | None, *aliases: str) -> Activation:
    return ACTIVATIONS.add(name, Activation(name, lambda _: op), *aliases)


def _last_axis(make: Callable[[int], Op]) -> Build:
    def build(type_: TensorType) -> Op:
        if type_.rank < 2:
            raise ShapeError(f"softmax: expected rank >= 2, received {type_}")
        return make(type_.rank - 1)

    return build


linear: Final = _add("linear", None)
relu: Final = _add("relu", ew.Relu())
relu6: Final = _add("relu6", ew.Relu(max_value=6.0))
leaky_relu: Final = _add("leaky_relu", ew.Relu(negative_slope=0.2))
sigmoid: Final = _add("sigmoid", ew.Sigmoid())
tanh: Final = _add("tanh", ew.Tanh())
elu: Final = _add("elu", ew.Elu())
selu: Final = _add("selu", ew.Selu())
softplus: Final = _add("softplus", ew.Softplus())
softsign: Final = _add("softsign", ew.Softsign())
hard_sigmoid: Final = _add("hard_sigmoid", ew.HardSigmoid())
hard_sigmoid_relu6: Final = _add("hard_sigmoid_relu6", ew.HardSigmoidRelu6())
exponential: Final = _add("exponential", ew.Exponential())
silu: Final = _add("silu", ew.Silu(), "swish")
gelu: Final = _add("gelu", ew.Gelu())
hard_silu: Final = _add("hard_silu", ew.HardSilu(), "hard_swish")
mish: Final = _add("mish", ew.Mish())
softmax: Final = ACTIVATIONS.add(
    "softmax", Activation("softmax", _last_axis(lambda axis: Softmax(axis)))
)
log_softmax: Final = ACTIVATIONS.add(
    "log_softmax", Activation("log_softmax", _last_axis(lambda axis: LogSoftmax(axis)))
)
swish: Final = silu
hard_swish: Final = hard_silu


def get(identifier: Any) -> Activation:
    """The activation that `identifier` stands for.

    Args:
        identifier: A name, an `Activation`, a function of one JAX array that keeps
            its shape, the {"class_name", "config"} form of a saved one, or None for
            the identity.

    Raises:
        CaptureError: An unknown name (the nearest one is in the hint), or something
            that is no activation at all.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, Activation):
        return identifier
    if isinstance(identifier, str):
        return _with_settings(identifier) or ACTIVATIONS.get(identifier)
    written = mapping_of(identifier)
    if written is not None:
        inner = written.get("config", written.get("class_name"))
        config = mapping_of(inner)
        layer = written.get("class_name")
        if config is not None and isinstance(layer, str) and layer in _LAYERS:
            return _of_layer(layer, config)
        name = inner if config is None else config.get("name")
        if isinstance(name, str):
            return get(name)
    elif callable(identifier):
        return _from_function(identifier)
    expected(CaptureError, "activation", "a name or a function", identifier)


#: Layers that stand in the place of activations: their settings, by our fields.
_LAYERS: Final[dict[str, dict[str, str]]] = {
    "ELU": {"alpha": "alpha"},
    "LeakyReLU": {"alpha": "negative_slope", "negative_slope": "negative_slope"},
    "ReLU": {
        "max_value": "max_value",
        "negative_slope": "negative_slope",
        "threshold": "threshold",
    },
    "ThresholdedReLU": {"theta": "theta"},
}
#: Ops with settings by the names before their brackets, as in "relu(max_value=6.0)".
_SETTABLE: Final[dict[str, type[Op]]] = {
    "elu": ew.Elu,
    "relu": ew.Relu,
    "thresholded_relu": ew.ThresholdedRelu,
}
_WRITTEN: Final = re.compile(r"(\w+)\((\w+=[\w.+-]+(?:, \w+=[\w.+-]+)*)\)")


def _of_layer(class_name: str, config: Mapping[str, Any]) -> Activation:
    """The activation that a layer's configuration stands for."""
    start = {"LeakyReLU": {"negative_slope": 0.3}, "ThresholdedReLU": {"theta": 1.0}}
    given: dict[str, Any] = dict(start.get(class_name, {}))
    for theirs, ours in _LAYERS[class_name].items():
        # Keras 2 and 3 write numbers as arrays now and then.
        value = config.get(theirs)
        value = (mapping_of(value) or {}).get("value", value)
        if isinstance(value, (int, float)):
            given[ours] = float(value)
    kind = {"ELU": "elu", "ThresholdedReLU": "thresholded_relu"}.get(class_name, "relu")
    written = ", ".join(f"{name}={value!r}" for name, value in sorted(given.items()))
    return get(f"{kind}({written})" if written else kind)


def _with_settings(name: str) -> Activation | None:
    """The activation of a name with settings; None for any other."""
    match = _WRITTEN.fullmatch(name)
    kind = _SETTABLE.get(match[1]) if match else None
    if match is None or kind is None:
        return None
    try:
        pairs = (part.split("=") for part in match[2].split(", "))
        op = kind(**{field: float(value) for field, value in pairs})
    except (TypeError, ValueError):
        return None
    return Activation(name, lambda _: op)


def _from_function(fn: Callable[..., Any]) -> Activation:
    function = function_of(fn)

    def build(type_: TensorType) -> Op:
        # Odd sizes stand for free dims: they are unlikely to agree by accident.
        sizes = [
            d if isinstance(d, int) else 5 + at for at, d in enumerate(type_.shape)
        ]
        probe = jax.ShapeDtypeStruct(tuple(sizes), type_.dtype)
        result: Any = jax.eval_shape(fn, probe)
        if getattr(result, "shape", None) != probe.shape:
            received = getattr(result, "shape", type(result).__name__)
            raise CaptureError(
                f"activation {function.name!r}: expected a result of shape "
                f"{probe.shape} like its input's, received {received}"
            )
        return FunctionOp(function, TensorType(type_.shape, result.dtype.name))

    return Activation(function.name, build)


def serialize(activation: Activation) -> str:
    """The name a configuration stores."""
    return activation.name
