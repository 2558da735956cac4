"""Permutations and merged axes: the algebra that layout rules rest on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphjit.layout import AxisOrder, Layout, compose, identity, invert, permute
from tests.conformance.lay import laid

PERMS = st.integers(0, 4).flatmap(lambda rank: st.permutations(range(rank))).map(tuple)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    rank = draw(st.integers(1, 4))
    perms = st.permutations(range(rank)).map(tuple)
    return draw(perms), draw(perms)


def test_new_axis_i_is_old_axis_perm_i() -> None:
    assert permute("abc", (2, 0, 1)) == ("c", "a", "b")
    assert np.zeros((1, 2, 3)).transpose((2, 0, 1)).shape == (3, 1, 2)


@given(PERMS)
def test_the_inverse_undoes(perm: tuple[int, ...]) -> None:
    assert compose(perm, invert(perm)) == identity(len(perm))
    assert compose(invert(perm), perm) == identity(len(perm))
    assert invert(invert(perm)) == perm


@given(pairs())
def test_compose_is_one_transpose_behind_the_other(
    perms: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    first, second = perms
    array = np.arange(120).reshape(2, 3, 4, 5)[(0,) * (4 - len(first))]
    stepwise = array.transpose(first).transpose(second)
    np.testing.assert_array_equal(array.transpose(compose(first, second)), stepwise)


def test_plain_layouts() -> None:
    assert Layout.plain(3) == Layout((0, 1, 2))
    assert Layout.plain(3).is_plain
    assert Layout.plain(0).is_plain
    assert not Layout((1, 0)).is_plain
    assert Layout((1, 0)).is_permutation


def test_orders_of_none_are_no_orders() -> None:
    assert Layout((0, 1), (None, None)) == Layout((0, 1))
    assert Layout((0, 1), (None, None)).is_plain


ORDER = AxisOrder((2, 3), (1, 0))


def test_a_merged_axis_is_no_permutation() -> None:
    layout = Layout((0, 1), (None, ORDER))
    assert not layout.is_plain
    assert not layout.is_permutation


def test_layout_of_one_axis() -> None:
    layout = Layout((1, 0), (None, ORDER))
    assert layout.of_axis(1) == Layout((0,), (ORDER,))
    assert layout.of_axis(0) == Layout((0,))
    assert Layout((1, 0)).of_axis(1) == Layout((0,))
    vector = np.arange(6)
    matrix = np.broadcast_to(vector, (2, 6))
    np.testing.assert_array_equal(
        laid(vector, layout.of_axis(1)), laid(matrix, layout)[:, 0]
    )


@pytest.mark.parametrize("axis", range(3))
def test_where_an_axis_lies(axis: int) -> None:
    layout = Layout((2, 0, 1))
    array = np.zeros((4, 5, 6))
    lies = laid(array, layout)
    assert lies.shape[layout.physical_axis(axis)] == array.shape[axis]


def test_layouts_are_values() -> None:
    assert Layout((1, 0), (None, ORDER)) == Layout(
        (1, 0), (None, AxisOrder((2, 3), (1, 0)))
    )
    assert len({Layout((0, 1)), Layout((0, 1), (None, None)), Layout((1, 0))}) == 2
