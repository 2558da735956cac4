"""Data given to a model: matched, cast, checked; and every text of a refusal."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from graphjit.data import as_array, bind_inputs
from graphjit.errors import DataError
from graphjit.ir import Input, Param
from graphjit.types import TensorType
from graphjit.variables import flatten, leaf, nest

IMAGE = Input("image", TensorType(("batch", None, 4)))
VECTOR = Input("vector", TensorType(("batch", 3)))
IDS = Input("ids", TensorType(("batch", "time"), "int32"))
TAGS = Input("tags", TensorType(("batch", "time"), "int32"))
FIXED = Input("fixed", TensorType((2, 3)))


def exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


def image(rows: int = 2) -> Any:
    return np.ones((rows, 5, 4), np.float32)


def vector(rows: int = 2) -> Any:
    return np.ones((rows, 3), np.float32)


# --- what fits ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "x",
    [
        vector(),
        [vector()],
        (vector(),),
        {"vector": vector()},
        vector().tolist(),
        jnp.ones((2, 3)),
        [jnp.ones((2, 3))],
    ],
)
def test_one_input(x: Any) -> None:
    (array,) = bind_inputs([VECTOR], x)
    assert array.shape == (2, 3)
    assert array.dtype == np.float32


@pytest.mark.parametrize(
    "x",
    [
        [image(), vector()],
        (image(), vector().tolist()),
        {"vector": vector(), "image": image()},
    ],
)
def test_several_inputs(x: Any) -> None:
    arrays = bind_inputs([IMAGE, VECTOR], x)
    assert [array.shape for array in arrays] == [(2, 5, 4), (2, 3)]


@pytest.mark.parametrize(
    "dtype", ["float64", "float16", "int64", "uint8", "bool", "bfloat16"]
)
def test_any_numeric_dtype_is_cast(dtype: str) -> None:
    data = np.array([[0, 1, 1]]).astype(jnp.dtype(dtype))
    (array,) = bind_inputs([VECTOR], data)
    assert array.dtype == np.float32
    assert array.tolist() == [[0, 1, 1]]


def test_data_of_the_right_dtype_is_not_copied() -> None:
    data = vector()
    assert bind_inputs([VECTOR], data)[0] is data


def test_a_row_of_one_is_a_batch_of_one() -> None:
    assert bind_inputs([VECTOR], [[1, 2, 3]])[0].shape == (1, 3)


def test_traced_values_are_data() -> None:
    shape = jax.eval_shape(lambda x: bind_inputs([VECTOR], x)[0], jnp.ones((7, 3)))
    assert shape.shape == (7, 3)


def test_unknown_dims_take_any_size() -> None:
    for size in (1, 9):
        data = np.zeros((2, size, 4), np.float32)
        assert bind_inputs([IMAGE], data)[0].shape == (2, size, 4)


# --- what does not --------------------------------------------------------------------

REFUSED: dict[str, tuple[list[Input], Any, str]] = {
    "unknown name": (
        [IMAGE, VECTOR],
        {"imgae": image(), "vector": vector()},
        "expected inputs ['image', 'vector'], received 'imgae'\n"
        "  hint: did you mean 'image'?",
    ),
    "strange name": (
        [VECTOR],
        {"vector": vector(), "zzz": 1},
        "expected inputs ['vector'], received 'zzz'",
    ),
    "missing name": (
        [IMAGE, VECTOR],
        {"image": image()},
        "expected inputs ['image', 'vector'], 'vector' is missing",
    ),
    "count": (
        [IMAGE, VECTOR],
        [image(), vector(), vector()],
        "expected 2 inputs ['image', 'vector'] as a list, tuple or dict, received 3",
    ),
    "one array": (
        [IMAGE, VECTOR],
        image(),
        "expected 2 inputs ['image', 'vector'] as a list, tuple or dict, "
        "received ndarray",
    ),
    "text": (
        [VECTOR],
        [["a", "b", "c"]],
        "input 'vector': expected numbers (float32[batch, 3]), received dtype <U1",
    ),
    "objects": (
        [VECTOR],
        [[None, 1, 2]],
        "input 'vector': expected numbers (float32[batch, 3]), received dtype object",
    ),
    "no batch": (
        [VECTOR],
        np.zeros(3),
        "input 'vector': expected float32[batch, 3] of rank 2, received shape (3,)\n"
        "  hint: the batch axis is missing; x[None] is a batch of one",
    ),
    "rank": (
        [VECTOR],
        np.zeros((2, 1, 3)),
        "input 'vector': expected float32[batch, 3] of rank 2, received shape "
        "(2, 1, 3)",
    ),
    "dim": (
        [IMAGE],
        np.zeros((2, 5, 3)),
        "input 'image': expected float32[batch, ?, 4], received shape (2, 5, 3): "
        "axis 2 is 3",
    ),
    "fixed batch": (
        [FIXED],
        np.zeros((4, 3)),
        "input 'fixed': expected float32[2, 3], received shape (4, 3): axis 0 is 4",
    ),
    "batches": (
        [IMAGE, VECTOR],
        [image(2), vector(3)],
        "input 'vector': axis 0 (batch) is 3, but input 'image' has batch = 2",
    ),
    "named dims": (
        [IDS, TAGS],
        [np.zeros((2, 7)), np.zeros((2, 8))],
        "input 'tags': axis 1 (time) is 8, but input 'ids' has time = 7",
    ),
}


@pytest.mark.parametrize(("inputs", "x", "text"), REFUSED.values(), ids=REFUSED)
def test_refused(inputs: list[Input], x: Any, text: str) -> None:
    with pytest.raises(DataError, match=exactly(text)):
        bind_inputs(inputs, x)


def test_ragged_data() -> None:
    text = r"^input 'vector': not an array: setting an array element with a sequence"
    with pytest.raises(DataError, match=text):
        bind_inputs([VECTOR], [[1, 2, 3], [1, 2]])


def test_complex_data_is_not_cut_to_its_real_part() -> None:
    text = "input 'vector': expected numbers (float32[batch, 3]), received dtype "
    with pytest.raises(DataError, match=re.escape(text) + "complex"):
        as_array("vector", np.zeros((2, 3), complex), VECTOR.type)


# --- variables ------------------------------------------------------------------------

PARAMS = [
    Param("encoder/conv/kernel", TensorType((3,))),
    Param("norm/mean", TensorType((3,)), collection="state"),
]


def test_variables_nest_and_flatten() -> None:
    flat = {"encoder/conv/kernel": 1, "encoder/conv/bias": 2, "norm/mean": 3}
    tree = nest(flat)
    assert tree == {"encoder": {"conv": {"kernel": 1, "bias": 2}}, "norm": {"mean": 3}}
    assert {name: leaf(tree, name, "tree") for name in flat} == flat


def test_flat_variables_by_collection() -> None:
    variables = {
        "params": {"encoder": {"conv": {"kernel": 1}}},
        "state": {"norm": {"mean": 2}},
    }
    assert flatten(variables, PARAMS) == {"encoder/conv/kernel": 1, "norm/mean": 2}


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        (
            {"params": {"encoder": {"cvon": {}}}, "state": {}},
            "variables['params']: expected an entry for 'encoder/conv/kernel', found "
            "none at 'conv'\n  hint: did you mean 'cvon'?",
        ),
        (
            {"params": {"encoder": {"conv": 3}}, "state": {}},
            "variables['params']: expected an entry for 'encoder/conv/kernel', found "
            "none at 'kernel'",
        ),
        (
            {"params": {"encoder": {"conv": {"kernel": 1}}}, "state": {}},
            "variables['state']: expected an entry for 'norm/mean', found none at "
            "'norm'",
        ),
        (
            {"params": {"encoder": {"conv": {"kernel": 1}}}},
            "variables: expected the collection 'state', received ['params']",
        ),
    ],
)
def test_missing_variables(variables: dict[str, Any], text: str) -> None:
    with pytest.raises(DataError, match=exactly(text)):
        flatten(variables, PARAMS)
