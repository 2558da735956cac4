"""The host's random numbers: the same on every platform and NumPy version.

Raw bits come from Philox-4x64-10 (Salmon et al., "Parallel random numbers: as easy as
1, 2, 3", 2011), whose stream NumPy promises never to change, keyed by a seed and a
name. The transforms of those bits are our own, because NumPy may change its
distributions at any release. They use only operations that IEEE 754 rounds correctly
(+, -, *, /, sqrt and conversions), since sin, log and their like differ in the last
place between processors.

Every value takes one 32-bit word (float64: 64 bits), in order, so neither the chunk
size nor the platform shows in the numbers.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from graphjit.errors import CaptureError, expected
from graphjit.types import DTYPE_BYTES, is_floating

__all__ = ["HostRandom", "numpy_dtype"]

_Array: TypeAlias = NDArray[Any]
_Coefficients: TypeAlias = tuple[float, ...]

# Values made at a time: the few working arrays of a chunk stay in the cache.
_CHUNK: Final = 1 << 15


def numpy_dtype(dtype: str) -> np.dtype[Any]:
    """NumPy's dtype for an element type of the IR.

    Raises:
        CaptureError: The name is not one of `graphjit.types.DTYPE_BYTES`.
    """
    if dtype not in DTYPE_BYTES:
        expected(CaptureError, "dtype", "a known name", dtype, known=list(DTYPE_BYTES))
    return np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


class HostRandom:
    """A stream of random numbers belonging to one seed and one name.

    Successive calls go on along the stream; a second object of the same seed and name
    starts it again. Streams of different seeds or names are independent.

    Args:
        seed: Any int.
        name: What the numbers are for, usually a param's name.

    Example:
        >>> HostRandom(0, "dense/kernel").uniform((2,), dtype="float64").tolist()
        [0.7553523025300554, 0.5068397498876072]
    """

    __slots__ = ("_bits", "name", "seed")

    def __init__(self, seed: int, name: str) -> None:
        self.seed = int(seed)
        self.name = name
        text = f"{self.seed}:{name}".encode("utf-8", "surrogatepass")
        key = hashlib.blake2b(text, digest_size=16, person=b"graphjit").digest()
        self._bits = np.random.Philox(key=int.from_bytes(key, "little"))

    def uniform(
        self,
        shape: Sequence[int],
        low: float = 0.0,
        high: float = 1.0,
        dtype: str = "float32",
    ) -> _Array:
        """Uniform on [low, high), both bounds as `dtype` rounds them.

        Shapes:
            -> shape. float32 and narrower have steps of (high - low) / 2**24, float64
            of (high - low) / 2**53.

        Raises:
            CaptureError: `low` exceeds `high`, `dtype` is not floating, or it cannot
                hold the bounds and their distance.
        """
        kind = self._floating(dtype)
        span = high - low
        if span < 0:
            expected(CaptureError, self._where(), "low <= high", (low, high))
        if not all(_is_finite(bound, kind) for bound in (low, high, span)):
            expected(CaptureError, self._where(), f"bounds within {dtype}", (low, high))
        # Rounding may carry a value up to `high`, which is excluded.
        top = float(np.nextafter(kind.type(high), kind.type(low)))

        def transform(words: _Array, precision: _Precision) -> _Array:
            words >>= precision.bits - precision.mantissa
            values = words.view(precision.signed).astype(precision.real)
            values *= span * 2.0**-precision.mantissa
            values += low
            return np.minimum(values, top, out=values)

        return self._draw(shape, kind, transform)

    def normal(
        self,
        shape: Sequence[int],
        mean: float = 0.0,
        std: float = 1.0,
        dtype: str = "float32",
    ) -> _Array:
        """Normal: the inverse distribution function of a uniform.

        Shapes:
            -> shape. float32 and narrower reach 6.3 std, float64 reaches 9.2.

        Raises:
            CaptureError: `std` is negative, or `dtype` is not floating.
        """
        return self._normal(shape, mean, std, dtype, _tail_probability)

    def truncated_normal(
        self,
        shape: Sequence[int],
        mean: float = 0.0,
        std: float = 1.0,
        dtype: str = "float32",
    ) -> _Array:
        """Normal(mean, std) on the condition that it lies within mean ± 2 std.

        The result's own standard deviation is 0.87962566 std.

        Shapes:
            -> shape

        Raises:
            CaptureError: `std` is negative, or `dtype` is not floating.
        """
        return self._normal(shape, mean, std, dtype, _inner_tail_probability)

    def _normal(
        self,
        shape: Sequence[int],
        mean: float,
        std: float,
        dtype: str,
        tail: Callable[[_Array, _Precision], _Array],
    ) -> _Array:
        kind = self._floating(dtype)
        if not std >= 0:
            expected(CaptureError, self._where(), "std >= 0", std)
        limit = 2.0 if tail is _inner_tail_probability else math.inf

        def transform(words: _Array, precision: _Precision) -> _Array:
            values = _quantile(tail(words, precision), precision)
            np.minimum(values, limit, out=values)
            # The word's first bit is the sign; the others chose the magnitude.
            words &= 1 << (precision.bits - 1)
            as_words = values.view(precision.word)
            as_words |= words
            values *= std
            values += mean
            return values

        return self._draw(shape, kind, transform)

    def _draw(
        self,
        shape: Sequence[int],
        kind: np.dtype[Any],
        transform: Callable[[_Array, _Precision], _Array],
    ) -> _Array:
        precision = _DOUBLE if kind.itemsize == 8 else _SINGLE
        out = np.empty(tuple(shape), kind)
        flat = out.reshape(-1)
        for start in range(0, flat.size, _CHUNK):
            part = flat[start : start + _CHUNK]
            part[...] = transform(self._words(part.size, precision), precision)
        return out

    def _words(self, count: int, precision: _Precision) -> _Array:
        per_raw = 64 // precision.bits
        raw: _Array = self._bits.random_raw(-(-count // per_raw))
        # Little-endian everywhere, or the halves of a word would swap places.
        words = raw.astype("<u8", copy=False).view(f"<u{precision.bits // 8}")
        return words[:count].astype(precision.word, copy=False)

    def _floating(self, dtype: str) -> np.dtype[Any]:
        if not is_floating(dtype):
            expected(CaptureError, self._where(), "a floating dtype", dtype)
        return numpy_dtype(dtype)

    def _where(self) -> str:
        return f"random values of {self.name!r}"


def _is_finite(value: float, kind: np.dtype[Any]) -> bool:
    with np.errstate(over="ignore"):
        return math.isfinite(kind.type(value))


@dataclass(frozen=True, slots=True)
class _Precision:
    """A working precision, with the approximations good enough for it."""

    real: type[np.floating[Any]]
    word: type[np.unsignedinteger[Any]]
    signed: type[np.signedinteger[Any]]
    bits: int
    mantissa: int
    log_terms: int
    #: Numerators and denominators, lowest power first.
    central: tuple[_Coefficients, _Coefficients]
    tail: tuple[_Coefficients, _Coefficients]
    far: tuple[_Coefficients, _Coefficients] | None


def _tail_probability(words: _Array, precision: _Precision) -> _Array:
    """How much of the distribution lies beyond the value: in (0, 1/2)."""
    magnitude = words & ((1 << (precision.bits - 1)) - 1)
    p = magnitude.view(precision.signed).astype(precision.real)
    p += 0.5
    p *= 2.0**-precision.bits
    return p


# 1 - Φ(2), with Φ the distribution function of the standard normal.
_BEYOND_TWO: Final = 0.022750131948179207


def _inner_tail_probability(words: _Array, precision: _Precision) -> _Array:
    """The same, in (1 - Φ(2), 1/2)."""
    p = _tail_probability(words, precision)
    p *= 1.0 - 2.0 * _BEYOND_TWO
    p += _BEYOND_TWO
    return p


def _quantile(p: _Array, precision: _Precision) -> _Array:
    """The x >= 0 beyond which a fraction p <= 1/2 of the standard normal lies.

    Wichura, "Algorithm AS 241: the percentage points of the normal distribution",
    Applied Statistics 37 (1988): PPND7 for float32, PPND16 for float64.
    """
    q = 0.5 - p
    x = _rational(0.180625 - q * q, precision.central)
    x *= q
    # A seventh of the values: cheaper to pick them out than to do all of them twice.
    outer = np.flatnonzero(p < 0.075)
    r = np.sqrt(-_log(p[outer], precision))
    y = _rational(r - 1.6, precision.tail)
    if precision.far is not None:
        far = np.flatnonzero(r > 5.0)
        y[far] = _rational(r[far] - 5.0, precision.far)
    x[outer] = y
    return x


def _log(x: _Array, precision: _Precision) -> _Array:
    """log(m 2**e) = e log 2 + 2 atanh((m - 1) / (m + 1)), by the series of atanh."""
    m, e = np.frexp(x)
    low = m < math.sqrt(0.5)
    m[low] *= 2.0
    e -= low
    s = (m - 1.0) / (m + 1.0)
    series = tuple(2.0 / (2 * k + 1) for k in range(precision.log_terms))
    log = _polynomial(s * s, series)
    log *= s
    log += e.astype(precision.real) * math.log(2.0)
    return log


def _rational(x: _Array, terms: tuple[_Coefficients, _Coefficients]) -> _Array:
    value = _polynomial(x, terms[0])
    value /= _polynomial(x, terms[1])
    return value


def _polynomial(x: _Array, coefficients: _Coefficients) -> _Array:
    value = x * coefficients[-1]
    for coefficient in coefficients[-2:0:-1]:
        value += coefficient
        value *= x
    value += coefficients[0]
    return value


# fmt: off
_SINGLE: Final = _Precision(
    real=np.float32, word=np.uint32, signed=np.int32, bits=32, mantissa=24, log_terms=5,
    central=(
        (3.3871327179, 50.434271938, 159.29113202, 59.109374720),
        (1.0, 17.895169469, 78.757757664, 67.187563600),
    ),
    tail=(
        (1.4234372777, 2.7568153900, 1.3067284816, 0.17023821103),
        (1.0, 0.73700164250, 0.12021132975),
    ),
    far=None,  # begins at p = exp(-25); the least p of 32 bits is 2**-33
)
_DOUBLE: Final = _Precision(
    real=np.float64, word=np.uint64, signed=np.int64, bits=64, mantissa=53,
    log_terms=12,
    central=(
        (3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
         1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
         3.3430575583588128105e4, 2.5090809287301226727e3),
        (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2,
         5.3941960214247511077e3, 2.1213794301586595867e4, 3.9307895800092710610e4,
         2.8729085735721942674e4, 5.2264952788528545610e3),
    ),
    tail=(
        (1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
         3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
         2.27238449892691845833e-2, 7.74545014278341407640e-4),
        (1.0, 2.05319162663775882187e0, 1.67638483018380384940e0,
         6.89767334985100004550e-1, 1.48103976427480074590e-1,
         1.51986665636164571966e-2, 5.47593808499534494600e-4,
         1.05075007164441684324e-9),
    ),
    far=(
        (6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
         2.96560571828504891230e-1, 2.65321895265761230930e-2,
         1.24266094738807843860e-3, 2.71155556874348757815e-5,
         2.01033439929228813265e-7),
        (1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1,
         1.48753612908506148525e-2, 7.86869131145613259100e-4,
         1.84631831751005468180e-5, 1.42151175831644588870e-7,
         2.04426310338993978564e-15),
    ),
)
# fmt: on
