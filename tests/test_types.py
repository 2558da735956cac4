"""Tensor types: known, named and unknown dims, and how they meet."""

from __future__ import annotations

import dataclasses

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphjit.errors import ShapeError
from graphjit.types import (
    DTYPE_BYTES,
    Dim,
    TensorType,
    broadcast_shapes,
    is_floating,
    known_size,
    unify_dim,
    unify_shapes,
)

DIMS: st.SearchStrategy[Dim] = st.sampled_from([None, "batch", "time", 1, 2, 3])


def test_prints_names_and_question_marks() -> None:
    assert str(TensorType(("batch", None, 64))) == "float32[batch, ?, 64]"
    assert str(TensorType((), "int8")) == "int8[]"


def test_is_frozen_and_hashable() -> None:
    type_ = TensorType((1, 2))
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field"):
        type_.dtype = "int8"  # type: ignore[misc]
    assert len({type_, TensorType((1, 2)), TensorType((1, 2), "int8")}) == 2
    assert not hasattr(type_, "__dict__")


def test_shape_is_shown_as_keras_shows_it() -> None:
    assert TensorType(("batch", None, "time", 3)).user_shape() == (None, None, None, 3)


def test_with_shape_keeps_the_dtype() -> None:
    made = TensorType((2,), "int8").with_shape(dim for dim in (3, "batch"))
    assert made == TensorType((3, "batch"), "int8")
    assert made.rank == 2


def test_dtypes_have_their_sizes_and_kinds() -> None:
    for name, size in DTYPE_BYTES.items():
        dtype = np.dtype(getattr(ml_dtypes, name, name))
        assert dtype.itemsize == size
        kind = np.issubdtype(dtype, np.floating) or name == "bfloat16"
        assert is_floating(name) == kind


def test_known_size() -> None:
    assert known_size((2, 3, 4)) == 24
    assert known_size(()) == 1
    assert known_size((2, None)) is None
    assert known_size((2, "batch")) is None


# --- unification ----------------------------------------------------------------------


def test_the_known_side_wins() -> None:
    assert unify_dim(None, 3) == 3
    assert unify_dim("batch", None) == "batch"
    assert unify_dim(None, None) is None
    assert unify_dim("batch", "batch") == "batch"


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        (2, 3, r"^dims 2 and 3 differ$"),
        ("batch", 3, r"^dims batch and 3 differ$"),
        ("batch", "time", r"^dims batch and time differ$"),
    ],
)
def test_different_dims_do_not_unify(a: Dim, b: Dim, text: str) -> None:
    with pytest.raises(ShapeError, match=text):
        unify_dim(a, b)


def test_ranks_must_agree() -> None:
    with pytest.raises(ShapeError, match=r"^ranks 2 and 1 differ$"):
        unify_shapes((1, 2), (1,))
    assert unify_shapes((1, None, "a"), (None, 2, "a")) == (1, 2, "a")


@given(DIMS, DIMS)
def test_unification_commutes_and_knows_no_less(a: Dim, b: Dim) -> None:
    try:
        both = unify_dim(a, b)
    except ShapeError:
        with pytest.raises(ShapeError, match="differ"):
            unify_dim(b, a)
        return
    assert both == unify_dim(b, a)
    assert unify_dim(both, a) == unify_dim(both, b) == both


# --- broadcasting ---------------------------------------------------------------------


def test_broadcasting_with_names_and_unknowns() -> None:
    assert broadcast_shapes([("batch", None, 3), (1, 8, 1)]) == ("batch", 8, 3)
    assert broadcast_shapes([("batch", 4), (4,)]) == ("batch", 4)
    assert broadcast_shapes([(None, 3), (1, 1)]) == (None, 3)
    assert broadcast_shapes([(None,), (None,)]) == (None,)
    assert broadcast_shapes([(), (2, 1), (1, 3)]) == (2, 3)


def test_what_does_not_broadcast() -> None:
    with pytest.raises(ShapeError, match=r"^dims 2 and 3 differ$"):
        broadcast_shapes([(2,), (3,)])
    with pytest.raises(ShapeError, match=r"^dims batch and 3 differ$"):
        broadcast_shapes([("batch", 2), (3, 1)])


@given(
    st.lists(st.lists(st.integers(1, 3), max_size=3).map(tuple), min_size=1, max_size=3)
)
def test_known_shapes_broadcast_as_in_numpy(shapes: list[tuple[int, ...]]) -> None:
    try:
        wanted = np.broadcast_shapes(*shapes)
    except ValueError:
        with pytest.raises(ShapeError, match="differ"):
            broadcast_shapes(shapes)
        return
    assert broadcast_shapes(shapes) == wanted


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=3),
    st.sets(st.tuples(st.integers(0, 2), st.integers(0, 1))),
)
def test_less_known_shapes_say_nothing_else(
    shapes: list[tuple[int, int]], hidden: set[tuple[int, int]]
) -> None:
    """Hiding dims that are not a broadcast 1 never makes a result wrong."""
    try:
        wanted = np.broadcast_shapes(*shapes)
    except ValueError:
        return
    less = [
        tuple(
            None if (at, axis) in hidden and dim == wanted[axis] else dim
            for axis, dim in enumerate(shape)
        )
        for at, shape in enumerate(shapes)
    ]
    found = broadcast_shapes(less)
    assert all(a is None or a == b for a, b in zip(found, wanted, strict=True))
