"""Cosine: how far two vectors point the same way, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence

from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.errors import CaptureError, ShapeError
from graphjit.ir import Value
from graphjit.ops import elementwise as ew
from graphjit.ops.merge_ops import BatchDot
from graphjit.ops.shape import Reshape

__all__ = ["Cosine"]

#: The least product of two lengths that is divided by (Keras 1's epsilon).
_LEAST = 1e-7


@LAYERS.register("Cosine")
class Cosine(Layer):
    """The cosine of the angle between two vectors: Keras 1's Merge(mode="cos").

    a · b / max(sqrt((a · a)(b · b)), 1e-7). `Dot(normalize=True)` bounds each length
    by itself instead. Source: Keras 1.2.2.

    Shapes:
        a, b: (n, c)  ->  (n, 1)

    >>> import graphjit as gj
    >>> Cosine()([gj.Input((16,)), gj.Input((16,))]).shape
    (None, 1)
    """

    casts_integers = True

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        if len(inputs) != 2:
            message = f"expected a list of exactly 2 tensors, received {len(inputs)}"
            raise CaptureError(f"{emitter.title}: {message}")
        types = [emitter.type_of(x) for x in inputs]
        for x in inputs:
            emitter.check_rank(x, 2)
        if types[0].shape[1] != types[1].shape[1]:
            message = f"expected two equal shapes, received {types[0]} and {types[1]}"
            raise ShapeError(f"{emitter.title}: {message}")
        a, b = (emitter.cast(x) for x in inputs)
        dot = BatchDot(1, 1)
        lengths = emitter(ew.Multiply(), emitter(dot, a, a), emitter(dot, b, b))
        # max(sqrt(x), e) is sqrt(max(x, e²)): the gradient at 0 is finite this way.
        scale = emitter(ew.Rsqrt(), emitter(ew.AtLeast(_LEAST**2), lengths))
        cosine = emitter(ew.Multiply(), emitter(dot, a, b), scale)
        return emitter(Reshape((1,), keep=1), cosine)

    def emit_masks(
        self,
        emitter: Emitter,
        inputs: Sequence[Value],
        masks: Sequence[Value | None],
        outputs: Sequence[Value],
    ) -> Sequence[Value | None]:
        """No mask: a sum over an axis has no steps of its own."""
        return [None]
