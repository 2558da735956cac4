"""Initializers: what a param holds before training, under the names of Keras 1, 2, 3.

An initializer is settings alone. Its numbers come from a `HostRandom` keyed by a seed
and the param's name, on the host, so a model begins with the same weights on every
device. Importing this module imports no JAX.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graphjit.configurable import (
    CallableSettings,
    Configurable,
    Family,
    is_plain_callable,
    resolve,
)
from graphjit.errors import CaptureError, expected
from graphjit.host_random import HostRandom, numpy_dtype
from graphjit.types import is_floating

__all__ = [
    "INITIALIZERS",
    "Constant",
    "FromCallable",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "constant",
    "fans",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "one",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "zero",
    "zeros",
]

_Array: TypeAlias = NDArray[Any]
_Axes: TypeAlias = tuple[int, ...] | None
_Mode: TypeAlias = Literal["fan_in", "fan_out", "fan_avg"]
_Distribution: TypeAlias = Literal[
    "uniform", "normal", "truncated_normal", "untruncated_normal"
]

# Only late releases of Keras 3 know these keys.
_OPTIONAL: Final = frozenset({"input_axes", "output_axes"})
# The standard deviation of a standard normal truncated at 2.
_TRUNCATED_STD: Final = 0.87962566103423978


@dataclass(frozen=True, slots=True)
class Initializer(Configurable, ABC):
    """Base of the initializers. A random one has a field ``seed: int | None``."""

    # tf.keras 1.x wrote the dtype; here the param has it.
    config_ignored: ClassVar[frozenset[str]] = frozenset({"dtype"})

    @abstractmethod
    def sample(self, shape: Sequence[int], dtype: str, random: HostRandom) -> _Array:
        """A new array of `shape` and `dtype`, its randomness drawn from `random`.

        Raises:
            CaptureError: The initializer cannot fill such a shape or dtype.
        """

    def draw(self, shape: Sequence[int], dtype: str, seed: int, name: str) -> _Array:
        """The initial value of the param `name` of a model initialised with `seed`.

        Args:
            shape: Its shape.
            dtype: Its element type.
            seed: The model's seed; an initializer with a seed of its own ignores it.
            name: The param's name, so that two params of one seed differ.

        Example:
            >>> Constant(3).draw((2,), "bfloat16", seed=0, name="dense/bias").tolist()
            [3.0, 3.0]
        """
        own: int | None = getattr(self, "seed", None)
        return self.sample(shape, dtype, HostRandom(seed if own is None else own, name))


@dataclass(frozen=True, slots=True)
class Constant(Initializer):
    """Every element is `value`.

    Args:
        value: A number that the param's dtype can hold.
    """

    value: float = 0.0

    def sample(self, shape: Sequence[int], dtype: str, random: HostRandom) -> _Array:
        return np.full(tuple(shape), _scalar(self.value, dtype, "Constant"))


@dataclass(frozen=True, slots=True)
class Zeros(Initializer):
    """Every element is 0."""

    def sample(self, shape: Sequence[int], dtype: str, random: HostRandom) -> _Array:
        return np.zeros(tuple(shape), numpy_dtype(dtype))


@dataclass(frozen=True, slots=True)
class Ones(Initializer):
    """Every element is 1."""

    def sample(self, shape: Sequence[int], dtype: str, random: HostRandom) -> _Array:
        return np.ones(tuple(shape), numpy_dtype(dtype))


@dataclass(frozen=True, slots=True)
class Identity(Initializer):
    """`gain` on the main diagonal of a matrix, 0 elsewhere.

    Shapes:
        -> (rows, columns), not necessarily square
    """

    gain: float = 1.0

    def sample(self, shape: Sequence[int], dtype: str, random: HostRandom) -> _Array:
        if len(shape) != 2:
            expected(CaptureError, "Identity", "a 2-D shape", tuple(shape))
        value = np.zeros(tuple(shape), numpy_dtype(dtype))
        np.fill_diagonal(value, _scalar(self.gain, dtype, "Identity"))
        return value


@dataclass(frozen=True, slots=True)
class RandomUniform(Initializer):
    """Uniform on [minval, maxval)."""

    minval: float = -0.05
    maxval: float = 0.05
    seed: int | None = None

    def check(self) -> None:
        if self.minval > self.maxval:
            self.refuse("minval", f"at most maxval = {self.maxval}")

    def sample(self, shape: Sequence[int], dtype: str, random: HostRandom) -> _Array:
        return random.uniform(shape, self.minval, self.maxval, dtype)


@dataclass(frozen=True, slots=True)
class RandomNormal(Initializer):
    """Normal with the given mean and standard deviation."""

    mean: float = 0.0
    stddev: float = 0.05
    seed: int | None = None

    def check(self) -> None:
        if self.stddev < 0:
            self.refuse("stddev", "a number >= 0")

    def sample(self, shape: Sequence[int], dtype: str, random: HostRandom) -> _Array:
        return random.normal(shape, self.mean, self.stddev, dtype)


@dataclass(frozen=True, slots=True)
class TruncatedNormal(Initializer):
    """A normal of which values more than 2 `stddev` from the mean are drawn again.

    `stddev` is that of the normal before truncation, as in Keras.
    """

    mean: float = 0.0
    stddev: float = 0.05
    seed: int | None = None

    def check(self) -> None:
        if self.stddev < 0:
            self.refuse("stddev", "a number >= 0")

    def sample(self, shape: Sequence[int], dtype: str, random: HostRandom) -> _Array:
        return random.truncated_normal(shape, self.mean, self.stddev, dtype)


@dataclass(frozen=True, slots=True)
class VarianceScaling(Initializer):
    """Mean 0 and variance scale / n, where n counts the units that `mode` names.

    Args:
        scale: A positive factor.
        mode: n = "fan_in", "fan_out", or "fan_avg", their mean.
        distribution: "uniform" on ±sqrt(3 scale / n); "truncated_normal" (Keras 2's
            "normal"), which has the variance after truncation; "untruncated_normal".
        seed: Replaces the model's seed.
        input_axes: The axes whose product is fan_in, given with `output_axes`; None
            for the rule of `fans`.
        output_axes: The axes whose product is fan_out.
    """

    config_optional: ClassVar[frozenset[str]] = _OPTIONAL

    scale: float = 1.0
    mode: _Mode = "fan_in"
    distribution: _Distribution = "truncated_normal"
    seed: int | None = None
    input_axes: _Axes = None
    output_axes: _Axes = None

    def check(self) -> None:
        if self.scale <= 0:
            self.refuse("scale", "a number > 0")
        if self.distribution == "normal":
            object.__setattr__(self, "distribution", "truncated_normal")
        _check_axes(self, self.input_axes, self.output_axes)

    def sample(self, shape: Sequence[int], dtype: str, random: HostRandom) -> _Array:
        fan_in, fan_out = fans(shape, self.input_axes, self.output_axes)
        n = {"fan_in": fan_in, "fan_out": fan_out}.get(
            self.mode, (fan_in + fan_out) / 2
        )
        variance = self.scale / max(1.0, n)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return random.uniform(shape, -limit, limit, dtype)
        if self.distribution == "untruncated_normal":
            return random.normal(shape, 0.0, math.sqrt(variance), dtype)
        std = math.sqrt(variance) / _TRUNCATED_STD
        return random.truncated_normal(shape, 0.0, std, dtype)


@dataclass(frozen=True, slots=True)
class _ScalingPreset(Initializer):
    """A VarianceScaling with a name of its own and only the seed left to choose."""

    config_optional: ClassVar[frozenset[str]] = _OPTIONAL
    scale: ClassVar[float]
    mode: ClassVar[_Mode]
    distribution: ClassVar[_Distribution]

    seed: int | None = None
    input_axes: _Axes = None
    output_axes: _Axes = None

    def check(self) -> None:
        _check_axes(self, self.input_axes, self.output_axes)

    def sample(self, shape: Sequence[int], dtype: str, random: HostRandom) -> _Array:
        rule = VarianceScaling(
            self.scale,
            self.mode,
            self.distribution,
            input_axes=self.input_axes,
            output_axes=self.output_axes,
        )
        return rule.sample(shape, dtype, random)


@dataclass(frozen=True, slots=True)
class GlorotUniform(_ScalingPreset):
    """Uniform on ±sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio, 2010)."""

    scale: ClassVar[float] = 1.0
    mode: ClassVar[_Mode] = "fan_avg"
    distribution: ClassVar[_Distribution] = "uniform"


@dataclass(frozen=True, slots=True)
class GlorotNormal(_ScalingPreset):
    """Truncated normal of variance 2 / (fan_in + fan_out) (Glorot & Bengio, 2010)."""

    scale: ClassVar[float] = 1.0
    mode: ClassVar[_Mode] = "fan_avg"
    distribution: ClassVar[_Distribution] = "truncated_normal"


@dataclass(frozen=True, slots=True)
class HeUniform(_ScalingPreset):
    """Uniform on ±sqrt(6 / fan_in) (He et al., 2015)."""

    scale: ClassVar[float] = 2.0
    mode: ClassVar[_Mode] = "fan_in"
    distribution: ClassVar[_Distribution] = "uniform"


@dataclass(frozen=True, slots=True)
class HeNormal(_ScalingPreset):
    """Truncated normal of variance 2 / fan_in (He et al., 2015)."""

    scale: ClassVar[float] = 2.0
    mode: ClassVar[_Mode] = "fan_in"
    distribution: ClassVar[_Distribution] = "truncated_normal"


@dataclass(frozen=True, slots=True)
class LecunUniform(_ScalingPreset):
    """Uniform on ±sqrt(3 / fan_in) (LeCun et al., "Efficient BackProp", 1998)."""

    scale: ClassVar[float] = 1.0
    mode: ClassVar[_Mode] = "fan_in"
    distribution: ClassVar[_Distribution] = "uniform"


@dataclass(frozen=True, slots=True)
class LecunNormal(_ScalingPreset):
    """Truncated normal of variance 1 / fan_in (Klambauer et al., 2017)."""

    scale: ClassVar[float] = 1.0
    mode: ClassVar[_Mode] = "fan_in"
    distribution: ClassVar[_Distribution] = "truncated_normal"


@dataclass(frozen=True, slots=True)
class Orthogonal(Initializer):
    """`gain` times a random matrix with orthonormal columns (rows, where it is wide).

    Uniform over such matrices (Saxe et al., 2014): the Q of a normal matrix, with the
    signs that make R's diagonal positive. Keras 1 had a gain of 1.1.

    Shapes:
        -> (..., columns) of rank 2 at least; the leading axes together are the rows
    """

    gain: float = 1.0
    seed: int | None = None

    def sample(self, shape: Sequence[int], dtype: str, random: HostRandom) -> _Array:
        if len(shape) < 2:
            expected(CaptureError, "Orthogonal", "2 axes or more", tuple(shape))
        if not is_floating(dtype):
            expected(CaptureError, "Orthogonal", "a floating dtype", dtype)
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = (max(rows, columns), min(rows, columns))
        # In float64, so that LAPACKs differ by less than float32 shows.
        q, r = np.linalg.qr(random.normal(tall, dtype="float64"))
        q *= np.where(np.diagonal(r) < 0, -self.gain, self.gain)
        value = q.T if rows < columns else q
        return np.ascontiguousarray(value.reshape(tuple(shape)), numpy_dtype(dtype))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FromCallable(CallableSettings, Initializer):
    """A user's function: f(shape, dtype), f(shape), or Keras 1's f(shape, name=...).

    Args:
        fn: Returns anything that NumPy can read as an array of the given shape.
    """

    saving_hint: ClassVar[str] = (
        "use a named initializer, or enter a subclass of Initializer in INITIALIZERS"
    )

    def sample(self, shape: Sequence[int], dtype: str, random: HostRandom) -> _Array:
        size = tuple(shape)
        # A copy: the function may return an array that the user goes on using.
        value = np.array(_call(self.fn, size, dtype, random.name))
        if value.shape != size:
            expected(CaptureError, repr(self), f"an array of shape {size}", value.shape)
        return value.astype(numpy_dtype(dtype), copy=False)


def _call(fn: Callable[..., Any], shape: tuple[int, ...], dtype: str, name: str) -> Any:
    """Give `fn` the shape and whichever of the others it takes."""
    try:
        parameters = inspect.signature(fn).parameters
    except (TypeError, ValueError):  # some functions written in C have no signature
        return fn(shape, dtype=dtype)
    kinds = [parameter.kind for parameter in parameters.values()]
    if "dtype" in parameters or inspect.Parameter.VAR_KEYWORD in kinds:
        return fn(shape, dtype=dtype)
    if "name" in parameters:
        return fn(shape, name=name)
    required = [p for p in parameters.values() if p.default is p.empty]
    return fn(shape, dtype) if len(required) > 1 else fn(shape)


def fans(
    shape: Sequence[int], input_axes: _Axes = None, output_axes: _Axes = None
) -> tuple[int, int]:
    """How many units feed into one unit of a weight, and how many it feeds.

    Shapes:
        (n,): n and n.  (in, out): in and out.  (*window, in, out), a convolution
        kernel: both times the window's size.

    Example:
        >>> fans((3, 3, 16, 32))
        (144, 288)

    Raises:
        CaptureError: An axis that the shape has not.
    """
    if input_axes is not None and output_axes is not None:
        wanted = f"axes of the shape {tuple(shape)}"
        for axis in (*input_axes, *output_axes):
            if not -len(shape) <= axis < len(shape):
                expected(CaptureError, "fans", wanted, axis)
        return (
            math.prod(shape[axis] for axis in input_axes),
            math.prod(shape[axis] for axis in output_axes),
        )
    if len(shape) < 2:
        size = math.prod(shape)
        return size, size
    window = math.prod(shape[:-2])
    return shape[-2] * window, shape[-1] * window


def _check_axes(owner: Initializer, input_axes: _Axes, output_axes: _Axes) -> None:
    if (input_axes is None) != (output_axes is None):
        lacking = "input_axes" if input_axes is None else "output_axes"
        owner.refuse(lacking, "axes, since the other fan has them")


def _scalar(value: float, dtype: str, where: str) -> _Array:
    """`value` in `dtype`; integers and bools must hold it exactly."""
    with np.errstate(over="ignore", invalid="ignore"):
        scalar = np.array(value).astype(numpy_dtype(dtype))
    held = float(scalar)
    if not (math.isfinite(held) if is_floating(dtype) else held == value):
        expected(CaptureError, where, f"a value that {dtype} can hold", value)
    return scalar


INITIALIZERS: Final[Family[Initializer]] = Family("initializer", Initializer)
INITIALIZERS.add("Zeros", Zeros, "zeros", "zero")
INITIALIZERS.add("Ones", Ones, "ones", "one")
INITIALIZERS.add("Constant", Constant, "constant")
INITIALIZERS.add("Identity", Identity, "identity", "IdentityInitializer")
INITIALIZERS.add("RandomUniform", RandomUniform, "random_uniform", "uniform")
INITIALIZERS.add("RandomNormal", RandomNormal, "random_normal", "normal")
INITIALIZERS.add("TruncatedNormal", TruncatedNormal, "truncated_normal")
INITIALIZERS.add("VarianceScaling", VarianceScaling, "variance_scaling")
INITIALIZERS.add("GlorotUniform", GlorotUniform, "glorot_uniform")
INITIALIZERS.add("GlorotNormal", GlorotNormal, "glorot_normal")
INITIALIZERS.add("HeUniform", HeUniform, "he_uniform")
INITIALIZERS.add("HeNormal", HeNormal, "he_normal")
INITIALIZERS.add("LecunUniform", LecunUniform, "lecun_uniform")
INITIALIZERS.add("LecunNormal", LecunNormal, "lecun_normal")
INITIALIZERS.add("Orthogonal", Orthogonal, "orthogonal", "OrthogonalInitializer")

zero = zeros = Zeros
one = ones = Ones
constant = Constant
identity = Identity
uniform = random_uniform = RandomUniform
normal = random_normal = RandomNormal
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
glorot_uniform = GlorotUniform
glorot_normal = GlorotNormal
he_uniform = HeUniform
he_normal = HeNormal
lecun_uniform = LecunUniform
lecun_normal = LecunNormal
orthogonal = Orthogonal


def get(identifier: object, where: str = "initializer") -> Initializer:
    """The initializer that `identifier` means; a function becomes a `FromCallable`.

    Args:
        identifier: What `graphjit.configurable.resolve` accepts, or a function.
        where: What it was given for, for errors.

    Example:
        >>> get("he_normal"), get({"class_name": "Constant", "config": {"value": 2}})
        (HeNormal(seed=None, input_axes=None, output_axes=None), Constant(value=2.0))

    Raises:
        CaptureError: The identifier means no initializer.
    """
    if is_plain_callable(identifier):
        return FromCallable(identifier)
    return resolve(INITIALIZERS, identifier, where)
