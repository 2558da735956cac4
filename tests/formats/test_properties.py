"""Whatever bytes come: FormatError, or a graph that is written as those bytes again."""

from __future__ import annotations

import copy
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphjit.errors import FormatError
from graphjit.formats import container
from graphjit.ir import Graph
from graphjit.types import DTYPE_BYTES
from tests.formats import samples
from tests.formats.samples import assembled, forged, header_of, tensors_of
from tests.profiles import examples

FILES = {
    name: container.encode(make(), tensors_of(make()))
    for name, make in samples.GRAPHS.items()
}

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.sampled_from([0, 1, -1, 2, 3]),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["x", "y", "d/kernel", "batch", "relu", "float32", *DTYPE_BYTES]),
    st.binary(max_size=5),
)
plain_data = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ),
    max_leaves=5,
)


def decodes_or_is_refused(data: bytes) -> None:
    """The property: nothing but FormatError, or a file that means itself."""
    try:
        contents = container.decode(data)
    except FormatError:
        return
    again = container.encode(contents.graph, contents.tensors)
    old, new = header_of(data)[0], header_of(again)[0]
    for key in ("graph", "tensors"):
        assert msgpack.packb(old[key]) == msgpack.packb(new[key])
    assert container.decode(again).graph == contents.graph


@examples(200)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"\S"):
        container.decode(data)
    with pytest.raises(FormatError, match=r"\S"):
        container.decode(assembled(data))


@examples(200)
@given(st.data())
def test_valid_files_with_bytes_changed(data: st.DataObject) -> None:
    valid = data.draw(st.sampled_from(list(FILES.values())))
    changed = bytearray(valid)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] = data.draw(st.integers(0, 255))
    if changed == valid:
        return
    with pytest.raises(FormatError, match=r"\S"):
        container.decode(bytes(changed))


@examples(300)
@given(st.data())
def test_headers_with_bytes_changed_and_hashed_again(data: st.DataObject) -> None:
    header, payload = header_of(data.draw(st.sampled_from(list(FILES.values()))))
    packed = bytearray(msgpack.packb(header))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] = data.draw(st.integers(0, 255))
    first = header["tensors"][0]["bytes"] if header["tensors"] else 0
    decodes_or_is_refused(assembled(bytes(packed), payload, first))


@examples(500)
@given(st.data())
def test_headers_with_something_replaced(data: st.DataObject) -> None:
    """A leaf, an entry or a whole part of a valid header becomes something else."""
    valid = data.draw(st.sampled_from(list(FILES.values())))

    def change(header: Any) -> None:
        for _ in range(data.draw(st.integers(1, 2))):
            mutate(data, header)

    decodes_or_is_refused(forged(valid, change))


def mutate(data: st.DataObject, root: Any) -> None:
    place: Any = root
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        inner = place[key]
        deeper = isinstance(inner, (dict, list)) and inner
        if not deeper or data.draw(st.integers(0, 9)) == 0:
            break
        place = inner
    action = data.draw(st.sampled_from(["replace", "replace", "remove", "repeat"]))
    if action == "replace":
        place[key] = data.draw(plain_data)
    elif action == "remove":
        del place[key]
    elif isinstance(place, list):
        place.append(copy.deepcopy(place[key]))
    else:
        place[data.draw(st.text(max_size=4))] = place[key]


@examples(50)
@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.floats(allow_nan=False), st.text()),
            lambda inner: st.lists(inner, max_size=3),
        ),
        max_size=3,
    )
)
def test_any_optional_section(sections: dict[str, Any]) -> None:
    data = container.encode(Graph(), {}, sections)
    assert container.decode(data).optional == sections
