"""Functions of TensorFlow and of Keras 3 under the names of ours.

What a call of TensorFlow's takes first is the tensor, or the list of tensors; `Spoken`
says which other arguments are operands, and what settings are called here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from graphjit.capture.snake_case import snake_case
from graphjit.ops.tensor_functions import TENSOR_FUNCTIONS

__all__ = ["IGNORED", "Spoken", "of_keras_3", "of_tensorflow"]

#: Settings that change nothing, at these values; None for any value.
IGNORED: Final[Mapping[str, tuple[Any, ...] | None]] = {
    "a_is_sparse": (False,),
    "adjoint_a": (False,),
    "adjoint_b": (False,),
    "antialias": (False,),
    "b_is_sparse": (False,),
    "batch_dims": (0,),
    "beta": (1, 1.0),
    "conjugate": (False,),
    "exclusive": (False,),
    "keepdims": (False,),
    "name": None,
    "num": None,
    "off_value": (None, 0, 0.0),
    "on_value": (None, 1, 1.0),
    "output_type": (None,),
    "preserve_aspect_ratio": (False,),
    "ragged": (False,),
    "reverse": (False,),
    "sparse": (False,),
    "trainable": None,
    "validate_indices": None,
}


@dataclass(frozen=True, slots=True)
class Spoken:
    """How a function is called elsewhere.

    Attributes:
        function: Its name here.
        operands: Arguments behind the first that are operands.
        settings: Names of settings: theirs to ours.
        unsaid: Settings that have another value where nothing is said.
        turned: Whether the first argument is the last operand.
    """

    function: str
    operands: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    unsaid: Mapping[str, Any] = field(default_factory=dict[str, Any])
    turned: bool = False


_REDUCED: Final = {
    "axis": "axis",
    "keepdims": "keepdims",
    "keep_dims": "keepdims",
    "reduction_indices": "axis",
}
_AXIS: Final = {"axis": "axis"}


def _pairs(names: Mapping[str, str]) -> dict[str, Spoken]:
    return {theirs: Spoken(ours, ("y",)) for theirs, ours in names.items()}


def _alone(names: Mapping[str, str]) -> dict[str, Spoken]:
    return {theirs: Spoken(ours) for theirs, ours in names.items()}


_OPERATORS: Final = {
    "add": "add",
    "and": "logical_and",
    "eq": "equal",
    "floordiv": "floor_divide",
    "ge": "greater_equal",
    "gt": "greater",
    "le": "less_equal",
    "lt": "less",
    "mod": "mod",
    "mul": "multiply",
    "ne": "not_equal",
    "or": "logical_or",
    "pow": "power",
    "sub": "subtract",
    "truediv": "true_divide",
    "xor": "logical_xor",
}
_SAME: Final = (
    "ceil cos cosh elu erf exp expm1 floor identity log log1p ones_like reciprocal "
    "relu6 round rsqrt selu sigmoid sign silu sin sinh softplus softsign sqrt square "
    "stop_gradient tan tanh zeros_like logical_not"
).split()

#: By the last part of the name: "math.add" and "compat.v1.add" are one.
_TENSORFLOW: Final[Mapping[str, Spoken]] = {
    **_pairs(_OPERATORS),
    **{
        f"r{theirs}": Spoken(ours, ("x",), turned=True)
        for theirs, ours in _OPERATORS.items()
    },
    **_pairs(
        {
            "add_v2": "add",
            "atan2": "arctan2",
            "divide": "true_divide",
            "floormod": "mod",
            "multiply": "multiply",
            "realdiv": "true_divide",
            "subtract": "subtract",
        }
    ),
    **_pairs(
        {
            name: name
            for name in (
                "equal greater greater_equal less less_equal logical_and logical_or "
                "logical_xor maximum minimum not_equal squared_difference"
            ).split()
        }
    ),
    **_alone({name: name for name in _SAME}),
    **_alone(
        {
            "abs": "absolute",
            "acos": "arccos",
            "asin": "arcsin",
            "atan": "arctan",
            "convert_to_tensor": "identity",
            "convert_to_tensor_v2_with_dispatch": "identity",
            "flatten": "ravel",
            "invert": "logical_not",
            "is_finite": "isfinite",
            "is_nan": "isnan",
            "neg": "negative",
            "negative": "negative",
            "swish": "silu",
        }
    ),
    **{
        f"{prefix}{name}": Spoken(name, settings=_REDUCED)
        for name in ("all", "any", "logsumexp", "max", "mean", "min", "prod", "sum")
        for prefix in ("", "reduce_")
    },
    "argmax": Spoken("argmax", settings={**_AXIS, "output_type": "dtype"}),
    "argmin": Spoken("argmin", settings={**_AXIS, "output_type": "dtype"}),
    "cast": Spoken("cast", settings={"dtype": "dtype"}),
    "clip": Spoken("clip", settings={"min_value": "x_min", "max_value": "x_max"}),
    "clip_by_value": Spoken(
        "clip", settings={"clip_value_min": "x_min", "clip_value_max": "x_max"}
    ),
    "concat": Spoken("concatenate", settings=_AXIS),
    "concatenate": Spoken("concatenate", settings=_AXIS, unsaid={"axis": -1}),
    "cumprod": Spoken("cumprod", settings=_AXIS, unsaid={"axis": 0}),
    "cumsum": Spoken("cumsum", settings=_AXIS, unsaid={"axis": 0}),
    "expand_dims": Spoken("expand_dims", settings=_AXIS, unsaid={"axis": -1}),
    "gather": Spoken("take", ("indices",), _AXIS, {"axis": 0}),
    "gelu": Spoken(
        "gelu", settings={"approximate": "approximate"}, unsaid={"approximate": False}
    ),
    "getitem": Spoken("get_item", settings={"slice_spec": "key"}),
    "l2_normalize": Spoken(
        "l2_normalize", settings={**_AXIS, "epsilon": "epsilon", "dim": "axis"}
    ),
    "leaky_relu": Spoken("leaky_relu", settings={"alpha": "negative_slope"}),
    "log_softmax": Spoken("log_softmax", settings=_AXIS),
    "matmul": Spoken(
        "matmul",
        ("b",),
        {"transpose_a": "transpose_a", "transpose_b": "transpose_b"},
    ),
    "one_hot": Spoken(
        "one_hot", settings={"depth": "num_classes", "axis": "axis", "dtype": "dtype"}
    ),
    "pad": Spoken(
        "pad",
        settings={
            "paddings": "pad_width",
            "mode": "mode",
            "constant_values": "constant_values",
        },
    ),
    "permute_dimensions": Spoken("transpose", settings={"pattern": "axes"}),
    "pow": Spoken("power", ("y", "a")),
    "relu": Spoken(
        "relu",
        settings={
            "alpha": "negative_slope",
            "max_value": "max_value",
            "threshold": "threshold",
        },
    ),
    "repeat": Spoken("repeat", settings={**_AXIS, "repeats": "repeats"}),
    "reshape": Spoken("reshape", settings={"shape": "newshape"}),
    "resize": Spoken("resize", settings={"size": "size", "method": "interpolation"}),
    "reverse": Spoken("flip", settings={**_AXIS, "axes": "axis"}),
    "roll": Spoken("roll", settings={**_AXIS, "shift": "shift"}),
    "softmax": Spoken("softmax", settings=_AXIS),
    "split": Spoken(
        "split", settings={**_AXIS, "num_or_size_splits": "indices_or_sections"}
    ),
    "squeeze": Spoken("squeeze", settings={**_AXIS, "squeeze_dims": "axis"}),
    "stack": Spoken("stack", settings=_AXIS),
    "tile": Spoken("tile", settings={"multiples": "repeats", "n": "repeats"}),
    "transpose": Spoken("transpose", settings={"perm": "axes"}),
    "unstack": Spoken("unstack", settings=_AXIS),
    "where": Spoken("where", ("x", "y")),
}


def of_tensorflow(name: str) -> Spoken | None:
    """A function by TensorFlow's or tf.keras's name, such as "math.add"."""
    return _TENSORFLOW.get(name.rpartition(".")[2].removeprefix("_"))


#: Classes of Keras 3 whose names are not ours in another spelling.
_KERAS_3: Final = {
    "Abs": "absolute",
    "Amax": "max",
    "Amin": "min",
    "ConvertToTensor": "identity",
    "Divide": "true_divide",
    "Swish": "silu",
}


def of_keras_3(class_name: str) -> str | None:
    """The function that an operation of Keras 3 is."""
    name = _KERAS_3.get(class_name) or snake_case(class_name)
    return name if name in TENSOR_FUNCTIONS else None
