"""Attention with and without dropout, and einsum."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphjit.ops.attention.attention_op import AttentionDropoutOp, AttentionOp
from graphjit.ops.base import with_fields
from graphjit.ops.einsum import EinsumOp
from tests.conformance.case import Arg, Case, Layouts, Row, w, x

__all__ = ["ROWS"]


def mask(*shape: int) -> Arg:
    return Arg(shape, "mask", dtype="bool", differentiable=False)


def shared_mask(*shape: int) -> Arg:
    """The same for every row."""
    return Arg(shape, "mask", weight=True, dtype="bool", differentiable=False)


def softmax(scores: Any, allowed: Any, count: int, zero_empty: bool) -> Any:
    """Over the last `count` axes; where nothing is allowed, everything is alike."""
    axes = tuple(range(-count, 0))
    allowed = np.broadcast_to(allowed, scores.shape)
    none = ~allowed.any(axes, keepdims=True)
    scores = np.where(none, 0, np.where(allowed, scores, -np.inf))
    weights = np.exp(scores - scores.max(axes, keepdims=True))
    weights = weights / weights.sum(axes, keepdims=True)
    return np.where(none, 0, weights) if zero_empty else weights


def allowed_by(op: Any, shape: tuple[int, ...], masks: tuple[Any, Any, Any]) -> Any:
    """Where a query may read, of the shape of the scores."""
    count = len(op.axes)
    allowed = np.ones(shape, bool)
    given, query_mask, value_mask = masks
    if given is not None:
        ones = (1,) * (len(shape) - given.ndim)
        at = given.ndim - 2 * count
        allowed &= given.reshape(*given.shape[:at], *ones, *given.shape[at:])
    between = (1,) * (len(shape) - 1 - 2 * count)
    if query_mask is not None:
        rows = query_mask.shape
        allowed &= query_mask.reshape(rows[0], *between, *rows[1:], *(1,) * count)
    if value_mask is not None:
        rows = value_mask.shape
        allowed &= value_mask.reshape(rows[0], *between, *(1,) * count, *rows[1:])
    for t in range(shape[-2]):
        for s in range(shape[-1]):
            if op.causal and s > t:
                allowed[..., t, s] = False
            if op.window is not None and abs(s - t) >= op.window:
                allowed[..., t, s] = False
    return allowed


def attention(op: Any, query: Any, key: Any, value: Any, *rest: Any) -> Any:
    """The document's formula, with every axis moved to its place first."""
    weight, *masks = (*rest, None, None, None, None)[:4]
    count, rank = len(op.axes), query.ndim
    other = [axis for axis in range(rank - 1) if axis not in op.axes]
    order = [*other, *op.axes, rank - 1]
    q, k, v = (np.transpose(a, order) for a in (query, key, value))
    batch, t, s = q.shape[: len(other)], q.shape[len(other) : -1], k.shape[len(other) :]
    q = q.reshape(*batch, -1, 1, q.shape[-1])
    k = k.reshape(*batch, 1, -1, k.shape[-1])
    if op.additive:
        scores = (np.tanh(q + k) * (1 if weight is None else weight)).sum(-1)
    else:
        scores = (q * k).sum(-1)
    shape = (*batch, *t, *s[:-1])
    scores = scores.reshape(shape) * op.scale
    allowed = allowed_by(op, shape, (masks[0], masks[1], masks[2]))
    weights = softmax(scores, allowed, count, op.zero_empty)
    flat = weights.reshape(*batch, int(np.prod(t)), -1)
    result = flat @ v.reshape(*batch, -1, v.shape[-1])
    back = np.argsort(order)
    result = np.transpose(result.reshape(*batch, *t, -1), back)
    return (result, weights) if op.scores else result


def heads(t: int, s: int, value: int = 3) -> tuple[Arg, Arg, Arg]:
    """Two rows, two heads of size 3."""
    return x(2, t, 2, 3), x(2, s, 2, 3), x(2, s, 2, value)


HEADS = (1,)
ATTENTION = Row(
    AttentionOp,
    (
        Case(AttentionOp(HEADS, 0.6), heads(4, 5)),
        Case(AttentionOp(HEADS, 0.6), heads(4, 5, value=6)),
        Case(AttentionOp(HEADS, causal=True), heads(5, 4)),
        Case(AttentionOp(HEADS, window=2), heads(5, 6)),
        Case(AttentionOp(HEADS, causal=True, window=3, scores=True), heads(5, 6)),
        Case(AttentionOp(HEADS), (*heads(4, 5), None, mask(2, 4, 5))),
        Case(AttentionOp(HEADS), (*heads(4, 5), None, shared_mask(4, 5))),
        Case(
            AttentionOp(HEADS, 0.7, scores=True),
            (*heads(4, 5), None, mask(2, 2, 4, 5), mask(2, 4), mask(2, 5)),
        ),
        Case(
            AttentionOp(HEADS, causal=True),
            (*heads(4, 5), None, None, mask(2, 4), mask(2, 5)),
        ),
        Case(
            AttentionOp(HEADS, zero_empty=True, scores=True),
            (*heads(4, 5), None, None, mask(2, 4), mask(2, 5)),
        ),
        # Without heads, as Luong and Bahdanau have it.
        Case(
            AttentionOp((1,), scores=True),
            (x(2, 4, 3), x(2, 5, 3), x(2, 5, 6), None, None, None, mask(2, 5)),
        ),
        Case(
            AttentionOp((1,), 0.8, additive=True),
            (x(2, 4, 3), x(2, 5, 3), x(2, 5, 2), w(3)),
        ),
        Case(
            AttentionOp((1,), additive=True, causal=True),
            (x(2, 4, 3), x(2, 5, 3), x(2, 5, 2), w()),
        ),
        Case(
            AttentionOp((2,), additive=True, scores=True),
            (x(2, 3, 4, 6), x(2, 3, 5, 6), x(2, 3, 5, 2), None, shared_mask(4, 5)),
        ),
        # Over two axes of three, and over one that is not the first.
        Case(
            AttentionOp((1, 2), 0.5, scores=True),
            (
                x(2, 3, 4, 2, 6),
                x(2, 5, 3, 2, 6),
                x(2, 5, 3, 2, 2),
                None,
                mask(2, 3, 4, 5, 3),
            ),
        ),
        Case(
            AttentionOp((1, 3), zero_empty=True),
            (x(2, 3, 4, 2, 6), x(2, 5, 4, 3, 6), x(2, 5, 4, 3, 1)),
        ),
        Case(
            AttentionOp((2,)),
            (x(2, 3, 4, 2, 6), x(2, 3, 5, 2, 6), x(2, 3, 5, 2, 6)),
        ),
        Case(
            AttentionOp((1, 2), additive=True),
            (x(2, 3, 2, 6), x(2, 2, 4, 6), x(2, 2, 4, 3), w(6)),
        ),
    ),
    attention,
    smooth_results=(0,),
)


def dropped(op: AttentionDropoutOp, operands: list[Any], results: list[Any]) -> None:
    """Every weight is dropped or scaled: told from the result, as V is invertible."""
    plain = with_fields(op.to_inference().op, scores=True)
    _, weights = attention(plain, *operands)
    if op.scores:
        np.testing.assert_allclose(results[1], weights, rtol=1e-12, atol=1e-14)
    result, value = (np.moveaxis(a, 2, 1) for a in (results[0], operands[2]))
    found = result @ np.linalg.inv(value)
    kept = np.abs(found) > np.abs(found - weights / (1 - op.rate))
    wanted = np.where(kept, weights / (1 - op.rate), 0)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)
    read = weights > 1e-3
    assert (kept & read).any()
    assert (~kept & read).any()


DROPOUT = Row(
    AttentionDropoutOp,
    (
        Case(AttentionDropoutOp(HEADS, 0.4, 3, 0.6), heads(4, 5, value=5)),
        Case(
            AttentionDropoutOp(HEADS, 0.5, 4, causal=True, scores=True),
            (*heads(6, 5, value=5), None, None, None, mask(2, 5)),
        ),
    ),
    check=dropped,
    inference=attention,
)


def einsum(op: EinsumOp, a: Any, kernel: Any, bias: Any = 0.0) -> Any:
    """Sums written out: every letter an axis, in one order, then summed."""
    terms, result = op.equation.split("->")
    letters = sorted(set(terms) - {","})
    wide = 1.0
    for term, array in zip(terms.split(","), (a, kernel), strict=True):
        order = np.argsort([letters.index(letter) for letter in term])
        shape = [array.shape[term.index(le)] if le in term else 1 for le in letters]
        wide = wide * np.transpose(array, order).reshape(shape)
    summed = tuple(at for at, letter in enumerate(letters) if letter not in result)
    left = [letter for letter in letters if letter in result]
    narrow = wide.sum(summed)
    return np.transpose(narrow, [left.index(letter) for letter in result]) + bias


def product(equation: str, first: Arg, *rest: Arg) -> Case:
    return Case(EinsumOp(equation), (first, *rest))


EINSUM = Row(
    EinsumOp,
    (
        product("ab,bc->ac", x(2, 6), w(6, 4), w(4)),
        product("abc,cde->abde", x(2, 3, 6), w(6, 2, 4), w(2, 4)),
        product("abde,dec->abc", x(2, 3, 4, 6), w(4, 6, 5)),
        product("abc,bd->adc", x(2, 3, 6), w(3, 4), w(4, 1)),
        product("abc,bcd->abd", x(2, 3, 6), w(3, 6, 4), w(1, 4)),
        product("abc,cb->abc", x(2, 3, 6), w(6, 3)),
        product("abc,->ab", x(2, 3, 6), w()),
    ),
    einsum,
    layouts=Layouts.ALL,
    exact=False,
)

ROWS: list[Row] = [ATTENTION, DROPOUT, EINSUM]
