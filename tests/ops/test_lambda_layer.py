"""Lambda: types found by tracing, shapes checked, masks, training, files."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.errors import CaptureError, FormatError, ShapeError
from graphjit.ops.abstract_call import traced_types
from graphjit.types import TensorType
from tests.ops.applied import data, graph_of, inference, results


@gj.register("tests>lambda>scaled")
def scaled(x: Any, factor: float = 1.0, shift: float = 0.0) -> Any:
    return x * factor + shift


@gj.register("tests>lambda>joined")
def joined(xs: Any) -> Any:
    return jnp.concatenate(xs, -1)


@gj.register("tests>lambda>joined_shape")
def joined_shape(shapes: Any) -> Any:
    return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))


@gj.register("tests>lambda>same_mask")
def same_mask(x: Any, mask: Any) -> Any:
    return mask


def applied(layer: Any, *xs: Any) -> Any:
    return results(graph_of(layer, xs), *xs)[0]


# --- functions ------------------------------------------------------------------------


def test_the_documents_square() -> None:
    model = gj.Sequential()
    model.add(L.Lambda(lambda x: x**2, input_shape=(3,)))
    assert model.output_shape == (None, 3)
    x = data(2, 3)
    np.testing.assert_allclose(model(x), x**2, rtol=1e-6)


def antirectifier(x: Any) -> Any:
    """Document 004, with JAX in place of K."""
    x -= jnp.mean(x, axis=1, keepdims=True)
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    return jnp.concatenate([jax.nn.relu(x), jax.nn.relu(-x)], axis=1)


def antirectifier_output_shape(input_shape: Any) -> Any:
    shape = list(input_shape)
    assert len(shape) == 2  # only valid for 2D tensors
    shape[-1] *= 2
    return tuple(shape)


def test_the_documents_antirectifier() -> None:
    model = gj.Sequential()
    model.add(L.Dense(5, input_dim=3))
    model.add(L.Lambda(antirectifier, output_shape=antirectifier_output_shape))
    assert model.output_shape == (None, 10)
    found = np.asarray(model(data(4, 3)))
    assert (found >= 0).all()
    np.testing.assert_allclose(np.sum(found**2, 1), 1, rtol=1e-5)


def test_arguments_go_to_the_function() -> None:
    x = data(2, 3)
    layer = L.Lambda(scaled, arguments={"factor": 3.0, "shift": np.float64(0.5)})
    np.testing.assert_allclose(applied(layer, x), x * 3 + 0.5, rtol=1e-6)
    axes = L.Lambda(jnp.sum, arguments={"axis": (1, 2), "keepdims": True})
    assert axes(L.Input((4, 5, 2))).shape == (None, 1, 1, 2)


def test_several_inputs_are_a_list() -> None:
    a, b = data(2, 3), data(2, 4, seed=1)
    layer = L.Lambda(joined, output_shape=joined_shape)
    np.testing.assert_array_equal(applied(layer, a, b), np.concatenate([a, b], 1))


def test_several_outputs_are_a_list() -> None:
    x = L.Input((6,))
    low, high = L.Lambda(lambda x: jnp.split(x, 2, -1))(x)
    assert low.shape == high.shape == (None, 3)
    array = data(2, 6)
    found = gj.Model(x, [high, low])(array)
    np.testing.assert_array_equal(found[0], array[:, 3:])
    np.testing.assert_array_equal(found[1], array[:, :3])


def test_gradients_flow() -> None:
    x = L.Input((3,))
    model = gj.Model(x, L.Lambda(jnp.sin)(x))
    array = data(2, 3)
    found = jax.grad(lambda a: model.apply({"params": {}, "state": {}}, a).sum())(array)
    np.testing.assert_allclose(found, np.cos(array), rtol=1e-6)


def test_training_is_passed_on() -> None:
    layer = L.Lambda(lambda x, training: x * 2 if training else x)
    x = data(2, 3)
    graph = graph_of(layer, [x])
    np.testing.assert_array_equal(results(graph, x)[0], x * 2)
    np.testing.assert_array_equal(results(inference(graph), x)[0], x)
    tensor = L.Input((3,))
    np.testing.assert_array_equal(gj.Model(tensor, layer(tensor))(x), x)


def test_bfloat16_and_float64_stay() -> None:
    for dtype in ("bfloat16", "float64", "float16"):
        assert L.Lambda(jnp.exp, dtype=dtype)(L.Input((3,), dtype=dtype)).dtype == dtype


def test_integers_stay_integers() -> None:
    assert L.Lambda(lambda x: x + 1)(L.Input((3,), dtype="int32")).dtype == "int32"
    to_floats = L.Lambda(lambda x: jax.nn.one_hot(x, 5))
    assert to_floats(L.Input((3,), dtype="int32")).type == TensorType(("batch", 3, 5))


# --- types ----------------------------------------------------------------------------

TYPES: dict[str, tuple[Callable[..., Any], list[Any], Any]] = {
    "elementwise": (jnp.tanh, [("batch", None, 3)], ("batch", None, 3)),
    "a sum over time": (lambda x: x.sum(1), [("batch", "time", 3)], ("batch", 3)),
    "moved": (lambda x: x.swapaxes(1, 2), [("batch", "time", 3)], ("batch", 3, "time")),
    "doubled": (
        lambda x: jnp.repeat(x, 2, 1),
        [("batch", None, 3)],
        ("batch", None, 3),
    ),
    "merged": (lambda x: x.reshape(-1, 3), [("batch", None, 3)], (None, 3)),
    "no batch": (lambda x: x.sum(0), [("batch", 4)], (4,)),
    "made of sizes": (lambda x: jnp.zeros(x.shape[1]), [("batch", "time")], ("time",)),
    "one name twice": (
        lambda x, y: x + y,
        [("batch", "time"), ("batch", "time")],
        ("batch", "time"),
    ),
    "two unknown dims": (
        lambda x, y: x[:, :, None] * y[:, None],
        [("batch", None), ("batch", None)],
        ("batch", None, None),
    ),
    "fixed": (lambda x: x[:, ::2], [(4, 7)], (4, 4)),
}


@pytest.mark.parametrize(("call", "shapes", "wanted"), TYPES.values(), ids=TYPES)
def test_traced_types(call: Any, shapes: Any, wanted: Any) -> None:
    found = traced_types(call, [TensorType(shape) for shape in shapes], "f")
    assert found == TensorType(wanted)


def test_many_free_dims() -> None:
    shape = tuple(f"d{at}" for at in range(12))
    found = traced_types(lambda x: x.T, [TensorType(shape)], "f")
    assert found.shape == shape[::-1]


def test_operands_left_out_and_wide_ones() -> None:
    types = [TensorType(("batch",), "float64"), None]
    found = traced_types(lambda x, mask: [x * 2, x > 0], types, "f")
    wanted = [TensorType(("batch",), dtype) for dtype in ("float64", "bool")]
    assert found == wanted


def by_size(x: Any) -> Any:
    return [x] * (x.shape[0] % 4)


TRACING: dict[str, tuple[Callable[..., Any], str]] = {
    "it fails": (
        lambda x: x.reshape(5, 7, 1),
        "f: it fails on float32[batch, 3]: TypeError: ",
    ),
    "no array": (lambda x: "text", "f: it fails on float32[batch, 3]: TypeError: "),
    "complex": (lambda x: x + 1j, "f: expected an array, received complex64"),
    "another count": (by_size, "f: it returns more arrays for some sizes"),
    "another rank": (
        lambda x: x if x.shape[0] == 11 else x[0],
        "f: it returns another rank or dtype for some sizes",
    ),
}


@pytest.mark.parametrize(("call", "text"), TRACING.values(), ids=TRACING)
def test_functions_that_cannot_be_traced(call: Any, text: str) -> None:
    with pytest.raises(CaptureError, match=f"^{re.escape(text)}"):
        traced_types(call, [TensorType(("batch", 3))], "f")


def test_a_failure_names_the_layer_and_keeps_its_cause() -> None:
    def broken(x: Any) -> Any:
        raise RuntimeError("no")

    text = (
        r"^Lambda 'l': function: it fails on float32\[batch, 3\]: RuntimeError: no\n"
        r"  hint: it is a function of JAX arrays; free dims are tried with odd sizes$"
    )
    with pytest.raises(CaptureError, match=text) as raised:
        L.Lambda(broken, name="l")(L.Input((3,)))
    assert isinstance(raised.value.__cause__, RuntimeError)


def test_results_are_arrays_or_lists_of_them() -> None:
    text = r"^Lambda: expected an array or a list of arrays from the function, received"
    with pytest.raises(CaptureError, match=text):
        L.Lambda(lambda x: {"a": x})(L.Input((3,)))
    with pytest.raises(CaptureError, match=text):
        L.Lambda(lambda x: None)(L.Input((3,)))


# --- output_shape ---------------------------------------------------------------------


def halves(x: Any) -> Any:
    return x[:, ::2]


@pytest.mark.parametrize(
    "output_shape",
    [(3, 4), [3, 4], (None, 4), lambda shape: (shape[0], shape[1] // 2, shape[2])],
)
def test_a_shape_that_agrees(output_shape: Any) -> None:
    assert L.Lambda(halves, output_shape)(L.Input((6, 4))).shape == (None, 3, 4)


@pytest.mark.parametrize(
    ("output_shape", "stated"),
    [
        ((6, 4), "(None, 6, 4)"),
        ((3,), "(None, 3)"),
        ((None, 3, 4), "(None, None, 3, 4)"),
        (lambda shape: shape, "(None, 6, 4)"),
        (lambda shape: shape[1:], "(6, 4)"),
        (lambda shape: [(None, 3, 4), (None, 3, 4)], "(None, 3, 4), (None, 3, 4)"),
    ],
)
def test_a_shape_that_disagrees(output_shape: Any, stated: str) -> None:
    text = (
        f"Lambda 'l': output_shape says {stated}, but the function returns "
        "(None, 3, 4), the batch included"
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(text)}$"):
        L.Lambda(halves, output_shape, name="l")(L.Input((6, 4)))


def test_a_shape_fills_in_what_tracing_leaves_open() -> None:
    doubled = L.Lambda(lambda x: jnp.repeat(x, 2, 1), output_shape=(8, 3))
    assert doubled(L.Input((None, 3))).shape == (None, 8, 3)


def test_shapes_of_several_results() -> None:
    def shapes(shape: Any) -> Any:
        return [(shape[0], shape[1] // 2)] * 2

    layer = L.Lambda(lambda x: jnp.split(x, 2, -1), output_shape=shapes)
    assert [y.shape for y in layer(L.Input((6,)))] == [(None, 3)] * 2


def test_the_layers_own_shapes() -> None:
    layer = L.Lambda(halves, output_shape=(3, 4))
    layer(L.Input((6, 4)))
    assert layer.input_shape == (None, 6, 4)
    assert layer.output_shape == (None, 3, 4)


# --- masks ----------------------------------------------------------------------------

STEPS = np.array([[[1.0], [0.0], [3.0]]], np.float32)


def masked() -> Any:
    return L.Masking()(L.Input((3, 1)))


def test_a_mask_function_carries_masks() -> None:
    y = L.Lambda(lambda x: x * 2, mask=same_mask)(masked())
    assert y.mask_type == TensorType(("batch", 3), "bool")
    later = L.Lambda(halves, mask=lambda x, mask: mask[:, ::2])(masked())
    assert later.mask_type == TensorType(("batch", 2), "bool")


def test_what_a_mask_function_computes() -> None:
    layer = L.Lambda(lambda x: x * 2, mask=lambda x, mask: mask & (x[..., 0] < 5))
    x, mask = STEPS, np.array([[True, False, True]])
    found, after = results(graph_of(layer, [x], [mask]), x, mask)
    np.testing.assert_array_equal(found, x * 2)
    np.testing.assert_array_equal(after, [[True, False, True]])
    x = STEPS * 2
    _, after = results(graph_of(layer, [x], [mask]), x, mask)
    np.testing.assert_array_equal(after, [[True, False, False]])


def test_a_mask_of_numbers_becomes_boolean() -> None:
    layer = L.Lambda(lambda x: x, mask=lambda x, mask: x[..., 0])
    x = L.Input((3, 1))
    y = layer(x)
    assert y.mask_type == TensorType(("batch", 3), "bool")
    model = gj.Model(x, y)
    step = model.step(model.init(), STEPS)
    np.testing.assert_array_equal(step.masks, [[True, False, True]])


def test_a_mask_function_may_drop_the_mask() -> None:
    assert L.Lambda(lambda x: x, mask=lambda x, mask: None)(masked()).mask_type is None


def test_a_function_may_read_the_mask() -> None:
    def total(x: Any, mask: Any = None) -> Any:
        valid = 1.0 if mask is None else mask[..., None]
        return jnp.sum(x * valid, 1)

    layer = L.Lambda(total, mask=lambda x, mask: None)
    x, mask = STEPS + 1, np.array([[True, False, True]])
    np.testing.assert_array_equal(
        results(graph_of(layer, [x], [mask]), x, mask)[0], [[6]]
    )
    np.testing.assert_array_equal(applied(L.Lambda(total), x), [[7]])


def test_masks_of_several_inputs_and_outputs() -> None:
    layer = L.Lambda(
        lambda xs: [xs[0] + xs[1], xs[0]], mask=lambda xs, masks: [masks[0], None]
    )
    first, second = layer([masked(), L.Input((3, 1))])
    assert first.mask_type == TensorType(("batch", 3), "bool")
    assert second.mask_type is None


def test_without_a_mask_function_masks_are_refused() -> None:
    text = r"^Lambda does not support masking, but its input has a mask"
    with pytest.raises(CaptureError, match=text):
        L.Lambda(lambda x: x)(masked())


@pytest.mark.parametrize(
    ("mask", "text"),
    [
        (lambda x, mask: [mask, mask], r"Lambda: mask: expected 1 masks, received 2$"),
        (
            lambda x, mask: {"m": mask},
            r"Lambda: mask: expected an array or None for ev",
        ),
        (lambda x: x, r"^Lambda: mask: it fails on .*, bool\[batch, 3\]: TypeError: "),
    ],
)
def test_mask_functions_that_do_not_fit(mask: Any, text: str) -> None:
    with pytest.raises(CaptureError, match=text):
        L.Lambda(lambda x: x, mask=mask)(masked())


# --- arguments and files --------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: L.Lambda(7),
            "Lambda: function: expected a function, or the name of a registered one, "
            "received 7",
        ),
        (
            lambda: L.Lambda("square"),
            "Lambda: function: no function is registered as 'square'\n"
            '  hint: define it under @gj.register("square") first',
        ),
        (
            lambda: L.Lambda({"class_name": "__lambda__", "config": {"code": "4wEA"}}),
            "Lambda: function: the file holds the function as code, which is never "
            "run\n  hint: give the layer's function yourself, or save it under a name",
        ),
        (
            lambda: L.Lambda(scaled, output_shape=(3, "four")),
            "Lambda: output_shape: expected a tuple of ints or None, without the batch "
            "axis, or a function, received (3, 'four')",
        ),
        (
            lambda: L.Lambda(scaled, mask=True),
            "Lambda: mask: expected a function of (inputs, mask), or None, received "
            "True",
        ),
        (
            lambda: L.Lambda(scaled, arguments=3),
            "Lambda: arguments: expected a dictionary of keyword arguments, received 3",
        ),
        (
            lambda: L.Lambda(scaled, arguments={"factor": {1}}),
            "Lambda: arguments: expected numbers, strings, booleans, None and tuples "
            "of them (a function that needs another object can hold it itself: lambda "
            "x: f(x, thing)), received {'factor': {1}}",
        ),
    ],
)
def test_refused_arguments(make: Any, text: str) -> None:
    with pytest.raises(CaptureError, match=f"^{re.escape(text)}$"):
        make()


def test_config_there_and_back() -> None:
    layer = L.Lambda(
        scaled,
        output_shape=(3,),
        mask=same_mask,
        arguments={"factor": 2, "shift": 0.5},
        name="l",
    )
    config = layer.get_config()
    assert {**config, "dtype": ""} == {
        "name": "l",
        "trainable": True,
        "dtype": "",
        "function": "tests>lambda>scaled",
        "output_shape": [3],
        "mask": "tests>lambda>same_mask",
        "arguments": {"factor": 2, "shift": 0.5},
    }
    assert L.Lambda.from_config(config).get_config() == config
    shaped = L.Lambda(joined, output_shape=joined_shape).get_config()
    assert shaped["output_shape"] == "tests>lambda>joined_shape"
    assert L.Lambda.from_config(shaped).get_config() == shaped


def test_keras_3_names_of_registered_functions() -> None:
    written = {
        "module": "builtins",
        "class_name": "function",
        "config": "scaled",
        "registered_name": "tests>lambda>scaled",
    }
    x = data(2, 3)
    np.testing.assert_array_equal(applied(L.Lambda(written), x), x)


def test_saved_by_name() -> None:
    x = L.Input((3,))
    model = gj.Model(x, L.Lambda(scaled, arguments={"factor": 2.5})(x))
    again = gj.from_bytes(gj.to_bytes(model))
    array = data(2, 3)
    np.testing.assert_array_equal(again(array), model(array))
    assert gj.Model.from_config(model.get_config())(array).shape == (2, 3)


def test_code_is_not_saved() -> None:
    x = L.Input((3,))
    model = gj.Model(x, L.Lambda(lambda x: x)(x))
    text = r"the function '<lambda>' has no name in files"
    with pytest.raises(FormatError, match=text):
        gj.to_bytes(model)
    with pytest.raises(CaptureError, match=r"no function is registered as '<lambda>'"):
        gj.Model.from_config(model.get_config())


def test_two_captures_are_equal() -> None:
    x = L.Input((3,), name="x")
    layer = L.Lambda(scaled, arguments={"factor": 2})
    graphs = [gj.Model(x, layer(x)).graph for _ in range(2)]
    assert str(graphs[0]) == str(graphs[1])
    other = L.Lambda(scaled, arguments={"factor": 2.0})
    assert str(gj.Model(x, other(x)).graph) != str(graphs[0])
