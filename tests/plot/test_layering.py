"""Places of boxes: nothing overlaps, arrows point down, lines cross rarely."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphjit.plot.layering import Arranged, arrange
from tests.profiles import examples

Arrows = list[tuple[int, int]]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[tuple[float, float]], Arrows]:
    """Sizes and arrows from earlier boxes to later ones."""
    count = draw(st.integers(1, 14))
    side = st.integers(10, 90).map(float)
    sizes = draw(st.lists(st.tuples(side, side), min_size=count, max_size=count))
    pairs = st.sampled_from([*itertools.combinations(range(count), 2), (0, 0)])
    arrows = draw(st.lists(pairs, unique=True, max_size=25))
    return sizes, [arrow for arrow in arrows if arrow != (0, 0)]


def boxes_of(
    arranged: Arranged, sizes: Sequence[tuple[float, float]]
) -> list[tuple[float, ...]]:
    return [
        (x, y, x + width, y + height)
        for (x, y), (width, height) in zip(arranged.corners, sizes, strict=True)
    ]


@examples(60)
@given(graphs())
def test_nothing_overlaps_and_arrows_point_down(
    graph: tuple[list[tuple[float, float]], Arrows],
) -> None:
    sizes, arrows = graph
    arranged = arrange(sizes, arrows)
    boxes = boxes_of(arranged, sizes)
    for a, b in itertools.combinations(boxes, 2):
        apart = (
            a[2] <= b[0] + 1e-6
            or b[2] <= a[0] + 1e-6
            or a[3] <= b[1] + 1e-6
            or b[3] <= a[1] + 1e-6
        )
        assert apart
    width, height = arranged.size
    for left, top, right, bottom in boxes:
        assert -1e-6 <= left <= right <= width + 1e-6
        assert -1e-6 <= top <= bottom <= height + 1e-6
    for (source, target), route in zip(arrows, arranged.routes, strict=True):
        assert route[0][1] == boxes[source][3]
        assert route[-1][1] == boxes[target][1]
        assert route[0][1] < route[-1][1]
        assert all(a[1] <= b[1] for a, b in itertools.pairwise(route))
        assert len(route) % 2 == 0
    assert arranged == arrange(sizes, arrows)


@examples(30)
@given(graphs())
def test_long_arrows_pass_between_boxes(
    graph: tuple[list[tuple[float, float]], Arrows],
) -> None:
    sizes, arrows = graph
    arranged = arrange(sizes, arrows)
    boxes = boxes_of(arranged, sizes)
    for route in arranged.routes:
        for x, y in route[1:-1]:
            assert not any(
                left < x < right and top < y < bottom
                for left, top, right, bottom in boxes
            )


def test_a_chain_is_straight() -> None:
    arranged = arrange([(40, 20), (80, 20), (60, 20)], [(0, 1), (1, 2)], gap=(10, 30))
    assert arranged.corners == [(20, 0), (0, 50), (10, 100)]
    assert arranged.size == (80, 120)
    assert arranged.routes == [[(40, 20), (40, 50)], [(40, 70), (40, 100)]]


def test_lines_do_not_cross_where_they_need_not() -> None:
    """0 -> 3 and 1 -> 2: the lower row is turned round."""
    arranged = arrange([(20, 20)] * 4, [(0, 3), (1, 2)])
    places = [x for x, _ in arranged.corners]
    assert (places[0] < places[1]) == (places[3] < places[2])


def test_a_source_stands_right_above_its_reader() -> None:
    arranged = arrange([(20, 20)] * 4, [(0, 1), (1, 2), (3, 2)])
    assert arranged.corners[3][1] == arranged.corners[1][1]


def test_no_boxes() -> None:
    assert arrange([], []) == Arranged((0, 0), [], [])


def test_circles_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^the arrows form a circle$"):
        arrange([(1, 1)] * 3, [(0, 1), (1, 2), (2, 1)])


def test_many_readers_of_one_box_share_a_line() -> None:
    """300 boxes in a chain that all read the first one."""
    count = 300
    chain = [(at, at + 1) for at in range(count - 1)]
    arrows = chain + [(0, at) for at in range(2, count)]
    arranged = arrange([(50, 20)] * count, arrows)
    assert len({point for route in arranged.routes for point in route}) < 4 * count
