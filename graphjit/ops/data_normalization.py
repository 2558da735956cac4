"""Normalization by the mean and the variance of the data, known before training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

import jax
import numpy as np

from graphjit import config as settings
from graphjit.capture.arguments import Unfit, arg, boolean, integer, optional
from graphjit.capture.cell import Cell, as_variable
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer, layer_name
from graphjit.errors import CaptureError, DataError, ShapeError
from graphjit.initializers import Initializer, Ones, Zeros
from graphjit.ir import Param, Value
from graphjit.narrow import sequence_of
from graphjit.ops.base import Op
from graphjit.ops.batch_norm import BatchNormInference
from graphjit.ops.elementwise import Add, AtLeast, Multiply, Rsqrt, Subtract
from graphjit.ops.rescaling import Affine, Numbers, flattened, numbers
from graphjit.ops.shape import Reshape
from graphjit.types import TensorType

__all__ = ["Normalization"]

#: What the layer's variables hold before it has seen data.
_STATISTICS: dict[str, Initializer] = {"mean": Zeros(), "variance": Ones()}


def _axes(value: Any) -> tuple[int, ...]:
    """An int, several, or None for none."""
    if value is None:
        return ()
    items = sequence_of(value)
    axes = tuple(integer(item) for item in ([value] if items is None else items))
    if len(set(axes)) != len(axes):
        raise Unfit("axes that differ")
    return axes


@LAYERS.register("Normalization")
class Normalization(Layer):
    """(x - mean) / sqrt(variance), by the statistics of the data.

    They are given, or taken from data by `adapt`; then they are variables of the layer
    that training leaves alone. A standard deviation below `config.epsilon()` counts as
    that.

    Shapes:
        x: (n, …)   mean, variance: the dims of x at `axis`  ->  (n, …)

    Args:
        axis: The axis or axes along which every place has its own mean and variance;
            None for one mean and one variance in all.
        mean: Given mean: a number, or an array whose dims are the last of those at
            `axis`.
        variance: Given variance, of the same shape.
        invert: Whether to compute x * sqrt(variance) + mean instead.
    """

    carries_mask = True
    casts_integers = True

    axis: tuple[int, ...] = arg(default=-1, converter=_axes)
    mean: Numbers | None = arg(default=None, converter=optional(numbers))
    variance: Numbers | None = arg(default=None, converter=optional(numbers))
    invert: bool = arg(default=False, converter=boolean)

    def check(self) -> None:
        object.__setattr__(self, "_epsilon", settings.epsilon())
        if (self.mean is None) != (self.variance is None):
            given = "mean" if self.variance is None else "variance"
            missing = "variance" if self.variance is None else "mean"
            self.refuse(missing, f"one to go with the given {given}", None)
        if self.mean is None or self.variance is None:
            return
        shape = np.shape(self.mean)
        if np.shape(self.variance) != shape:
            self.refuse("variance", f"the shape of mean, {shape}", self.variance)
        if len(shape) > len(self.axis):
            self.refuse("mean", f"rank <= {len(self.axis)}, that of axis", self.mean)
        if np.any(np.asarray(self.variance) < 0):
            self.refuse("variance", "numbers >= 0", self.variance)

    @property
    def _floor(self) -> float:
        """The least variance that is divided by."""
        epsilon: float = object.__getattribute__(self, "_epsilon")
        tiny = 6e-8 if self.dtype == "float16" else 0.0  # its smallest number
        return max(epsilon**2, tiny)

    def _kept(self, rank: int, title: str) -> list[int]:
        """The axes with statistics of their own, counted from the front, sorted."""
        for axis in self.axis:
            if not -rank <= axis < rank:
                message = f"axis {axis} does not fit an input of rank {rank}"
                raise ShapeError(f"{title}: {message}")
        kept = sorted(axis % rank for axis in self.axis)
        if 0 in kept:
            self.refuse("axis", "axes other than the batch", self.axis)
        return kept

    # --- the op -----------------------------------------------------------------------

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        rank = emitter.type_of(x).rank
        kept = self._kept(rank, emitter.title)
        dims = {axis: emitter.known_dim(x, axis, "a kept axis") for axis in kept}
        shape = tuple(dims.get(axis, 1) for axis in range(rank))
        if self.mean is not None:
            return emitter(self._given(kept, shape, emitter.title), x)
        mean, variance = (
            emitter.state(slot, tuple(dims.values()), start)
            for slot, start in _STATISTICS.items()
        )
        # Keras's third variable, which only its own older versions read.
        emitter.state("count", (), Zeros(), dtype="int32")
        variance = emitter(AtLeast(self._floor), variance)
        if len(kept) == 1 and not self.invert:
            op = BatchNormInference(kept[0], epsilon=0.0)
            return emitter(op, x, None, None, mean, variance)
        return self._from_state(emitter, x, mean, variance, shape)

    def _given(self, kept: Sequence[int], shape: Sequence[int], title: str) -> Op:
        """The op, by the mean and the variance that were arguments."""
        given: tuple[int, ...] = np.asarray(self.mean).shape
        aligned = [1] * len(shape)
        for axis, dim in zip(reversed(kept), reversed(given), strict=False):
            aligned[axis] = dim
            if dim not in (1, shape[axis]):
                message = f"mean has shape {given}, axis {axis} has {shape[axis]}"
                raise ShapeError(f"{title}: {message}")
        mean, variance = (
            np.broadcast_to(np.reshape(np.asarray(found), aligned), shape)
            for found in (self.mean, self.variance)
        )
        std = np.sqrt(np.maximum(variance, self._floor))
        full = () if math.prod(shape) == 1 else tuple(shape)
        if self.invert:
            return Affine(flattened(std), flattened(mean), shape=full)
        return Affine(flattened(1 / std), center=flattened(mean), shape=full)

    def _from_state(
        self,
        emitter: Emitter,
        x: Value,
        mean: Value,
        variance: Value,
        shape: tuple[int, ...],
    ) -> Value:
        """The formula for any axes, in ops whose parts on variables are done once."""
        mean = emitter(Reshape(shape, keep=0), mean)
        variance = emitter(Reshape(shape, keep=0), variance)
        inverse = emitter(Rsqrt(), variance)
        if not self.invert:
            return emitter(Multiply(), emitter(Subtract(), x, mean), inverse)
        std = emitter(Multiply(), variance, inverse)
        return emitter(Add(), emitter(Multiply(), x, std), mean)

    # --- data -------------------------------------------------------------------------

    def adapt(self, data: Any) -> None:
        """Take mean and variance from data, in place of those of earlier data.

        Args:
            data: An array (n, …), or batches of that form.

        Raises:
            CaptureError: The layer was given mean and variance.
            DataError: The data are empty or not numeric, or their dims differ.
        """
        title = layer_name(self)
        if self.mean is not None:
            raise CaptureError(f"{title}: mean and variance are given, not adapted")
        found = _Moments(title, self)
        for batch in _batches(data):
            found.add(batch)
        mean, variance = found.result()
        for slot, array in (("mean", mean), ("variance", variance)):
            type_ = TensorType(array.shape, self.dtype or "float32")
            param = Param(
                slot, type_, _STATISTICS[slot], collection="state", trainable=False
            )
            cell = self.own_cells.get(slot) or Cell(param)
            with jax.enable_x64(type_.dtype == "float64"):
                cell.write(as_variable(cell.param, array))
            self.own_cells[slot] = cell


class _Moments:
    """Mean and variance over batches, in float64.

    Joined as Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for
    Computing Sample Variances", 1979.
    """

    def __init__(self, title: str, layer: Normalization) -> None:
        self._title = title
        self._layer = layer
        self._count = 0
        self._mean: Any = 0.0
        self._squares: Any = 0.0

    def add(self, batch: Any) -> None:
        array = np.asarray(batch)
        if not (np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_):
            message = f"adapt: expected numbers, received {array.dtype}"
            raise DataError(f"{self._title}: {message}")
        if array.ndim == 0 or not array.size:
            message = f"adapt: expected rows of data, received shape {array.shape}"
            raise DataError(f"{self._title}: {message}")
        array = array.astype(np.float64)
        kept = self._layer._kept(array.ndim, self._title)  # pyright: ignore[reportPrivateUsage]
        reduced = tuple(axis for axis in range(array.ndim) if axis not in kept)
        count = math.prod(array.shape[axis] for axis in reduced)
        mean = array.mean(reduced)
        if self._count and np.shape(self._mean) != mean.shape:
            stated = f"expected dims {np.shape(self._mean)}, received {mean.shape}"
            raise DataError(f"{self._title}: adapt: {stated}")
        total = self._count + count
        away = mean - self._mean
        weight = self._count * count / total
        self._squares = self._squares + array.var(reduced) * count + away**2 * weight
        self._mean = self._mean + away * (count / total)
        self._count = total

    def result(self) -> tuple[Any, Any]:
        if not self._count:
            raise DataError(f"{self._title}: adapt: expected data, received none")
        return np.asarray(self._mean), np.asarray(self._squares / self._count)


def _batches(data: Any) -> Iterable[Any]:
    """Arrays with rows: the data itself, or what it gives one after the other."""
    items = sequence_of(data)
    if items is not None:
        arrays = all(hasattr(item, "shape") for item in items)
        return items if arrays else [items]
    whole = hasattr(data, "shape") or not isinstance(data, Iterable)
    return [data] if whole else cast("Iterable[Any]", data)
