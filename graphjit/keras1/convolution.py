"""Convolutions: plain, atrous, separable and transposed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from graphjit import layers as native
from graphjit.capture.arguments import Unfit
from graphjit.errors import CaptureError
from graphjit.formats.keras1_layouts import (
    CONV1D,
    CONV_TF,
    CONV_TH,
    DECONV_TF,
    DECONV_TH,
    DEPTHWISE,
    KernelLayout,
    kernel_and_bias,
)
from graphjit.keras1.dense_settings import BIAS, before_penalties
from graphjit.keras1.settings import (
    Fans,
    dim_ordering,
    kernel_constraint,
    kernel_initial,
    sequence_input,
)
from graphjit.keras1.spelling import Given, Rule, Spelling, spelled
from graphjit.narrow import sequence_of
from graphjit.settings import DIM_ORDERINGS

__all__ = [
    "AtrousConvolution1D",
    "AtrousConvolution2D",
    "Convolution1D",
    "Convolution2D",
    "Convolution3D",
    "Deconvolution2D",
    "SeparableConvolution2D",
]

# --- what they share --------------------------------------------------------------

_FILTERS: Final = spelled("nb_filter", "filters")
_ORDERING: Final = spelled("dim_ordering", None, "default", dim_ordering)
#: `init` and `weights` are for a rule, which knows how the kernel lies.
_BEFORE: Final = before_penalties(init_native=None, weights_native=None)
_PENALTIES: Final = (
    spelled("W_regularizer", "kernel_regularizer", None),
    spelled("b_regularizer", "bias_regularizer", None),
    spelled("activity_regularizer", "", None),
    spelled("W_constraint", None, None),
    spelled("b_constraint", "bias_constraint", None),
)


def _border_mode(value: Any) -> str:
    names = ("valid", "same", "full")
    if not isinstance(value, str) or value.lower() not in names:
        raise Unfit("'valid', 'same' or 'full'")
    return value.lower()


_BORDER_MODE: Final = spelled("border_mode", "padding", "valid", _border_mode)


def _kernel_rule(given: Given, layout: KernelLayout, fans: Fans | None) -> Any:
    """The native arguments about a kernel that lies so in Keras 1."""
    made: dict[str, Any] = {
        "kernel_initializer": kernel_initial(given["init"], layout, fans),
        "kernel_constraint": kernel_constraint(given["W_constraint"], layout),
    }
    if given["weights"] is not None:
        made["weights"] = kernel_and_bias(given["weights"], layout)
    return made


def _window(*names: str) -> Rule:
    """The rule that makes `kernel_size` of arguments that are one int each."""

    def rule(given: Given) -> dict[str, Any]:
        return {"kernel_size": tuple(given[name] for name in names)}

    return rule


def _ordered(given: Given) -> dict[str, Any]:
    return {"data_format": DIM_ORDERINGS[given["dim_ordering"]]}


# --- along one axis ---------------------------------------------------------------


def _kernel_1d(given: Given) -> dict[str, Any]:
    # Keras 1 counts the units of a (length, 1, in, out) kernel as if it were a "th"
    # one, (out, in, rows, cols).
    return _kernel_rule(given, CONV1D, ((1, 2), (0, 1, 2)))


_sequence_arguments, _sequence_rule = sequence_input
_FIRST_1D: Final = (
    _FILTERS,
    spelled("filter_length", "kernel_size"),
    *_BEFORE,
    _BORDER_MODE,
    spelled("subsample_length", "strides", 1),
)

Convolution1D = Spelling(
    "Convolution1D",
    native.Conv1D,
    (*_FIRST_1D, *_PENALTIES, BIAS, *_sequence_arguments),
    rules=(_kernel_1d, _sequence_rule),
)

AtrousConvolution1D = Spelling(
    "AtrousConvolution1D",
    native.Conv1D,
    (
        *_FIRST_1D,
        spelled("atrous_rate", "dilation_rate", 1),
        *_PENALTIES,
        BIAS,
    ),
    rules=(_kernel_1d, _sequence_rule),
    fixed={"strided_dilation": True},
    keywords=_sequence_arguments,
)

# --- of images and volumes --------------------------------------------------------


def _kernel_2d(given: Given) -> dict[str, Any]:
    layouts = CONV_TH if given["dim_ordering"] == "th" else CONV_TF
    return _kernel_rule(given, layouts[2], None)


def _kernel_3d(given: Given) -> dict[str, Any]:
    if given["dim_ordering"] == "th":
        return _kernel_rule(given, CONV_TH[3], None)
    # Keras 1 forgets the third axis of the window when it counts units.
    return _kernel_rule(given, CONV_TF[3], ((0, 1, 3), (0, 1, 4)))


_WINDOW_2D: Final = (spelled("nb_row"), spelled("nb_col"))
_SUBSAMPLE_2D: Final = spelled("subsample", "strides", (1, 1))

Convolution2D = Spelling(
    "Convolution2D",
    native.Conv2D,
    (
        _FILTERS,
        *_WINDOW_2D,
        *_BEFORE,
        _BORDER_MODE,
        _SUBSAMPLE_2D,
        _ORDERING,
        *_PENALTIES,
        BIAS,
    ),
    rules=(_window("nb_row", "nb_col"), _kernel_2d, _ordered),
)

AtrousConvolution2D = Spelling(
    "AtrousConvolution2D",
    native.Conv2D,
    (
        _FILTERS,
        *_WINDOW_2D,
        *_BEFORE,
        _BORDER_MODE,
        _SUBSAMPLE_2D,
        spelled("atrous_rate", "dilation_rate", (1, 1)),
        _ORDERING,
        *_PENALTIES,
        BIAS,
    ),
    rules=(_window("nb_row", "nb_col"), _kernel_2d, _ordered),
    fixed={"strided_dilation": True},
)

Convolution3D = Spelling(
    "Convolution3D",
    native.Conv3D,
    (
        _FILTERS,
        spelled("kernel_dim1"),
        spelled("kernel_dim2"),
        spelled("kernel_dim3"),
        *_BEFORE,
        _BORDER_MODE,
        spelled("subsample", "strides", (1, 1, 1)),
        _ORDERING,
        *_PENALTIES,
        BIAS,
    ),
    rules=(
        _window("kernel_dim1", "kernel_dim2", "kernel_dim3"),
        _kernel_3d,
        _ordered,
    ),
)

# --- separable --------------------------------------------------------------------


def _separable_kernels(given: Given) -> dict[str, Any]:
    layout = DEPTHWISE[given["dim_ordering"]]
    made: dict[str, Any] = {}
    for kernel in ("depthwise", "pointwise"):
        made[f"{kernel}_initializer"] = kernel_initial(given["init"], layout)
        constraint = given[f"{kernel}_constraint"]
        made[f"{kernel}_constraint"] = kernel_constraint(constraint, layout)
    if given["weights"] is not None:
        made["weights"] = kernel_and_bias(given["weights"], layout, layout)
    return made


def _no_full(value: Any) -> Any:
    if not isinstance(value, str) or value.lower() not in ("valid", "same"):
        raise Unfit("'valid' or 'same'")
    return value.lower()


SeparableConvolution2D = Spelling(
    "SeparableConvolution2D",
    native.SeparableConv2D,
    (
        _FILTERS,
        *_WINDOW_2D,
        *_BEFORE,
        spelled("border_mode", "padding", "valid", _no_full),
        _SUBSAMPLE_2D,
        spelled("depth_multiplier", "", 1),
        _ORDERING,
        spelled("depthwise_regularizer", "", None),
        spelled("pointwise_regularizer", "", None),
        spelled("b_regularizer", "bias_regularizer", None),
        spelled("activity_regularizer", "", None),
        spelled("depthwise_constraint", None, None),
        spelled("pointwise_constraint", None, None),
        spelled("b_constraint", "bias_constraint", None),
        BIAS,
    ),
    rules=(_window("nb_row", "nb_col"), _separable_kernels, _ordered),
)

# --- transposed -------------------------------------------------------------------


def _output_shape(value: Any) -> tuple[int | None, ...]:
    """Reader of `output_shape`: of rank 4, the batch included."""
    dims: Sequence[Any] = sequence_of(value) or ()
    whole = all(dim is None or (type(dim) is int and dim > 0) for dim in dims)
    if len(dims) != 4 or not whole or None in dims[1:]:
        raise Unfit("4 ints > 0, the first of them (the batch) an int or None")
    return tuple(dims)


def _deconvolution(given: Given) -> dict[str, Any]:
    th = given["dim_ordering"] == "th"
    shape, filters = given["output_shape"], given["nb_filter"]
    channels = shape[1] if th else shape[3]
    if channels != filters:
        axis = 1 if th else 3
        raise CaptureError(
            f"Deconvolution2D: output_shape: expected nb_filter = {filters} on axis "
            f"{axis} (dim_ordering={given['dim_ordering']!r}), received {shape}"
        )
    size = shape[2:] if th else shape[1:3]
    layout = DECONV_TH if th else DECONV_TF
    # Natively (rows, cols, out, in); Keras 1 counts inputs and outputs as it names
    # them.
    return {"output_size": size, **_kernel_rule(given, layout, ((0, 1, 3), (0, 1, 2)))}


Deconvolution2D = Spelling(
    "Deconvolution2D",
    native.Conv2DTranspose,
    (
        _FILTERS,
        *_WINDOW_2D,
        spelled("output_shape", None, read=_output_shape),
        *_BEFORE,
        _BORDER_MODE,
        _SUBSAMPLE_2D,
        _ORDERING,
        *_PENALTIES,
        BIAS,
    ),
    rules=(_window("nb_row", "nb_col"), _deconvolution, _ordered),
)
