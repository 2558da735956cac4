"""The ops of attention: without and with dropout of the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from graphjit.errors import ShapeError
from graphjit.ops.attention.axes import MOST_AXES, Letters, letters_of
from graphjit.ops.base import (
    Array,
    Becomes,
    Op,
    Random,
    Result,
    added,
    register_op,
)
from graphjit.types import Dim, TensorType, unify_dim

__all__ = ["AttentionDropoutOp", "AttentionOp"]

_ROLES: Final = (
    "query",
    "key",
    "value",
    "weight",
    "mask",
    "query_mask",
    "value_mask",
)


class _Attention(Op):
    """What attention is, with or without dropout.

    Every query reads the values, weighted by the softmax of its scores with the keys::

        scores = scale * query · key                      (additive=False)
        scores = sum(weight * tanh(query + key))          (additive=True)

    taken over `axes`. It may read where all masks are True, with `causal` not behind
    its own place, with `window` less than that far from it. One that may read nothing
    gives the mean of all values, or zero with `zero_empty`, as the two ways through
    Keras's layers do.

    Shapes:
        query: (n, …, t, …, d)   key: (n, …, s, …, d)   value: (n, …, s, …, v)
        weight: () or (d,)   query_mask: bool (n, t)   value_mask: bool (n, s)
        mask: bool, broadcastable to (n, …, t, s); what it lacks are axes before t
        ->  (n, …, t, …, v), and with `scores` the weights (n, …, t, s)
    """

    __slots__ = ()

    axes: tuple[int, ...]
    scale: float
    additive: bool
    causal: bool
    window: int | None
    zero_empty: bool
    scores: bool

    # --- types ------------------------------------------------------------------------

    def infer(
        self,
        query: TensorType,
        key: TensorType,
        value: TensorType,
        weight: TensorType | None = None,
        mask: TensorType | None = None,
        query_mask: TensorType | None = None,
        value_mask: TensorType | None = None,
    ) -> tuple[TensorType, ...]:
        rank = query.rank
        inner = sorted({axis for axis in self.axes if 0 < axis < rank - 1})
        if not inner or tuple(inner) != self.axes:
            raise ShapeError(f"axes {self.axes} do not fit rank {rank}")
        if len(self.axes) > 1 and (self.causal or self.window is not None):
            raise ShapeError("one axis has an order, several have not")
        if rank + len(inner) > MOST_AXES:
            raise ShapeError(
                f"query has {rank} axes, {len(inner)} of them attended: there are "
                f"letters for {MOST_AXES}"
            )
        letters = letters_of(rank, self.axes)
        dims = _dims(letters, query, key, value)
        _check_weight(weight, query, self.additive)
        scores = tuple(dims[letter] for letter in letters.scores)
        _check_mask(mask, scores, len(self.axes))
        first = letters.batch[0]
        for role, attended, type_ in (
            ("query_mask", letters.reads, query_mask),
            ("value_mask", letters.read, value_mask),
        ):
            _check_rows(role, type_, [dims[a] for a in first + attended])
        result = [dims[letter] for letter in letters.query[:-1] + letters.value[-1]]
        output = query.with_shape(result)
        return (output, query.with_shape(scores)) if self.scores else (output,)

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        known = [t for t in operands[:3] if t is not None]
        letters = letters_of(known[0].rank, self.axes)
        sizes: dict[str, int] = {}
        for term, type_ in zip(
            (letters.query, letters.key, letters.value), known, strict=True
        ):
            for letter, dim in zip(term, type_.shape, strict=True):
                sizes[letter] = dim if isinstance(dim, int) else 1
        total = 2 * (sizes[letters.query[-1]] + sizes[letters.value[-1]])
        for letter in letters.scores:
            total *= sizes[letter]
        return total

    # --- arrays -----------------------------------------------------------------------

    def attend(
        self,
        query: Array,
        key: Array,
        value: Array,
        weight: Array | None = None,
        mask: Array | None = None,
        query_mask: Array | None = None,
        value_mask: Array | None = None,
        drop: Any = None,
    ) -> tuple[Array, ...]:
        """The results; `drop` is applied to the weights that multiply the values."""
        allowed = self._allowed(query.ndim, mask, query_mask, value_mask)
        if drop is None and self._is_fused(query, value):
            return (self._fused(query, key, value, allowed),)
        letters = letters_of(query.ndim, self.axes)
        scores = self._scores(letters, query, key, weight)
        allowed = _both(allowed, self._order(scores.shape))
        weights = self._softmax(scores, allowed).astype(value.dtype)
        kept = weights if drop is None else drop(weights)
        output = jnp.einsum(letters.combination, kept, value)
        return (output, weights) if self.scores else (output,)

    def _is_fused(self, query: Array, value: Array) -> bool:
        """Whether JAX's own attention says the same; its softmax is in float32."""
        return (
            not (self.scores or self.additive or self.zero_empty)
            and (query.ndim, self.axes) == (4, (1,))
            and query.shape[-1] == value.shape[-1]
            and query.dtype.itemsize <= 4
        )

    def _fused(
        self, query: Array, key: Array, value: Array, allowed: Array | None
    ) -> Array:
        # It widens halves itself, which strict promotion would not let it.
        with jax.numpy_dtype_promotion("standard"):
            result: Any = jax.nn.dot_product_attention(
                query,
                key,
                value,
                mask=allowed,
                scale=self.scale,
                is_causal=self.causal,
                local_window_size=None if self.window is None else self.window - 1,
            )
        return result

    def _scores(
        self, letters: Letters, query: Array, key: Array, weight: Array | None
    ) -> Array:
        """The scores, in float32 at least."""
        exact = query.dtype if query.dtype.itemsize >= 4 else jnp.float32
        if not self.additive:
            product = jnp.einsum(
                letters.product, query, key, preferred_element_type=exact
            )
            return product * self.scale
        d = letters.query[-1]
        count = len(self.axes)
        reads = jnp.einsum(
            f"{letters.query}->{letters.batch}{letters.reads}{d}", query.astype(exact)
        )
        read = jnp.einsum(
            f"{letters.key}->{letters.batch}{letters.read}{d}", key.astype(exact)
        )
        behind = range(reads.ndim - 1, reads.ndim - 1 + count)
        before = range(len(letters.batch), len(letters.batch) + count)
        bent = jnp.tanh(
            jnp.expand_dims(reads, tuple(behind)) + jnp.expand_dims(read, tuple(before))
        )
        if weight is not None:
            bent = bent * weight.astype(exact)
        return jnp.sum(bent, -1) * self.scale

    def _softmax(self, scores: Array, allowed: Array | None) -> Array:
        over = tuple(range(-len(self.axes), 0))
        if allowed is None:
            return jax.nn.softmax(scores, over)
        # Finite, so that one that may read nothing reads everything alike.
        lowest = jnp.asarray(-0.7 * float(np.finfo(np.float32).max), scores.dtype)
        weights = jax.nn.softmax(jnp.where(allowed, scores, lowest), over)
        return jnp.where(allowed, weights, 0) if self.zero_empty else weights

    def _allowed(
        self,
        rank: int,
        mask: Array | None,
        query_mask: Array | None,
        value_mask: Array | None,
    ) -> Array | None:
        """Where the masks let a query read, broadcastable to the scores."""
        count = len(self.axes)
        between = rank - 2 - count
        allowed = None
        if mask is not None:
            missing = rank - 1 + count - mask.ndim
            at = mask.ndim - 2 * count
            allowed = jnp.expand_dims(mask, tuple(range(at, at + missing)))
        for rows, behind in ((query_mask, count), (value_mask, 0)):
            if rows is not None:
                lengths = rows.shape[1:]
                gap = between + count - behind
                shape = (rows.shape[0], *(1,) * gap, *lengths, *(1,) * behind)
                allowed = _both(allowed, jnp.reshape(rows, shape))
        return allowed

    def _order(self, shape: Sequence[int]) -> Array | None:
        """What `causal` and `window` let a query read, (t, s)."""
        if not self.causal and self.window is None:
            return None
        t, s = shape[-2:]
        ahead = jnp.arange(s, dtype=jnp.int32) - jnp.arange(t, dtype=jnp.int32)[:, None]
        allowed = ahead <= 0 if self.causal else None
        if self.window is not None:
            allowed = _both(allowed, jnp.abs(ahead) < self.window)
        return allowed


@register_op("attention", roles=_ROLES)
class AttentionOp(_Attention):
    __doc__ = _Attention.__doc__

    axes: tuple[int, ...]
    scale: float = 1.0
    additive: bool = False
    causal: bool = False
    window: int | None = None
    zero_empty: bool = False
    scores: bool = False

    def lower(self, *arrays: Any) -> tuple[Array, ...]:
        return self.attend(*arrays)


@register_op("attention_dropout", roles=_ROLES)
class AttentionDropoutOp(_Attention, Random):
    """Attention with a part of its weights dropped, the others scaled up.

    `scores` are the weights before that. With `always` it drops in inference too.

    Shapes:
        As those of `attention`.
    """

    axes: tuple[int, ...]
    rate: float
    seed: int
    scale: float = 1.0
    additive: bool = False
    causal: bool = False
    window: int | None = None
    zero_empty: bool = False
    scores: bool = False
    always: bool = added(default=False)

    def lower(self, *arrays: Any, key: Array) -> tuple[Array, ...]:
        def drop(weights: Array) -> Array:
            kept = jax.random.bernoulli(key, 1 - self.rate, weights.shape)
            scaled = weights / (1 - self.rate)
            return jnp.where(kept, scaled, jnp.zeros((), weights.dtype))

        return self.attend(*arrays, drop=drop)

    def to_inference(self) -> Becomes | None:
        if self.always:
            return None
        op = AttentionOp(
            self.axes,
            self.scale,
            self.additive,
            self.causal,
            self.window,
            self.zero_empty,
            self.scores,
        )
        results = (Result(0), Result(1)) if self.scores else (Result(0),)
        return Becomes(op, tuple(range(len(_ROLES))), results)


def _both(a: Array | None, b: Array | None) -> Array | None:
    """Where both masks are True; None is True everywhere."""
    if a is None or b is None:
        return a if b is None else b
    return jnp.logical_and(a, b)


def _dims(
    letters: Letters, query: TensorType, key: TensorType, value: TensorType
) -> Mapping[str, Dim]:
    """The dim of every letter, where the three agree."""
    dims: dict[str, Dim] = {}
    for role, term, type_ in (
        ("query", letters.query, query),
        ("key", letters.key, key),
        ("value", letters.value, value),
    ):
        if type_.rank != query.rank or type_.dtype != query.dtype:
            raise ShapeError(f"{role} is {type_}, query is {query}")
        for axis, (letter, dim) in enumerate(zip(term, type_.shape, strict=True)):
            try:
                dims[letter] = unify_dim(dims.get(letter), dim)
            except ShapeError:
                known = dims[letter]
                message = f"{role}: expected {known} at axis {axis}, received {dim}"
                raise ShapeError(message) from None
    return dims


def _check_weight(weight: TensorType | None, query: TensorType, additive: bool) -> None:
    if weight is None:
        return
    if not additive:
        raise ShapeError("weight: only additive scores take one")
    if weight.shape not in ((), query.shape[-1:]) or weight.dtype != query.dtype:
        message = f"expected {query.dtype}[] or {query.dtype}[{query.shape[-1]}]"
        raise ShapeError(f"weight: {message}, received {weight}")


def _check_mask(mask: TensorType | None, scores: Sequence[Dim], count: int) -> None:
    if mask is None:
        return
    wanted = f"a bool that broadcasts to {TensorType(tuple(scores), 'bool').shape}"
    fits = mask.dtype == "bool" and 2 * count <= mask.rank <= len(scores)
    if fits:
        at = mask.rank - 2 * count
        full = (*mask.shape[:at], *(1,) * (len(scores) - mask.rank), *mask.shape[at:])
        fits = _broadcasts(full, scores)
    if not fits:
        raise ShapeError(f"mask: expected {wanted}, received {mask}")


def _check_rows(role: str, mask: TensorType | None, dims: Sequence[Dim]) -> None:
    if mask is None:
        return
    fits = mask.dtype == "bool" and mask.rank == len(dims)
    if not (fits and _broadcasts(mask.shape, dims)):
        wanted = TensorType(tuple(dims), "bool")
        raise ShapeError(f"{role}: expected {wanted}, received {mask}")


def _broadcasts(mask: Sequence[Dim], dims: Sequence[Dim]) -> bool:
    """Whether a mask of the same rank broadcasts to `dims`; unknown dims may."""
    for a, b in zip(mask, dims, strict=True):
        if a != 1 and None not in (a, b) and a != b:
            return False
    return True
