from __future__ import annotations

import jax
import numpy as np
import pytest

import graphjit as gj
from graphjit.errors import CaptureError, DataError, ShapeError
from tests.graphs import variables_for


def net(name: str | None = None) -> gj.Model:
    x = gj.Input((6, 6, 2), name="image")
    h = gj.layers.Conv2D(4, 3, name="conv", kernel_regularizer="l2")(x)
    h = gj.layers.BatchNormalization(name="norm")(h)
    h = gj.layers.Dropout(0.5)(h)
    h = gj.layers.Flatten()(h)
    return gj.Model(x, gj.layers.Dense(3, name="out")(h), name=name)


def data(rows: int = 7) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, 6, 6, 2)).astype(np.float32)


def test_structure() -> None:
    model = net()
    assert [layer.name for layer in model.layers] == [
        "image",
        "conv",
        "norm",
        None,
        None,
        "out",
    ]
    assert model.captured.names[3:5] == ("dropout", "flatten")
    assert model.input_shape == (None, 6, 6, 2)
    assert model.output_shape == (None, 3)
    assert model.count_params() == 3 * 3 * 2 * 4 + 4 + 16 + 64 * 3 + 3
    assert model.get_layer("conv") is model.get_layer(index=1)
    assert model.get_layer("dropout") is model.layers[3]


def test_get_layer_errors() -> None:
    model = net()
    with pytest.raises(
        CaptureError, match="received 'con'\n  hint: did you mean 'conv'"
    ):
        model.get_layer("con")
    with pytest.raises(CaptureError, match="expected an index below 6, received 9"):
        model.get_layer(index=9)
    with pytest.raises(CaptureError, match="expected either a name or an index"):
        model.get_layer()


def test_summary() -> None:
    lines: list[str] = []
    model = net("demo")
    model.get_layer("norm").trainable = False
    model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    assert 'Model: "demo"' in text
    assert "conv (Conv2D)" in text
    assert "(None, 4, 4, 4)" in text
    assert lines[-3:] == [
        "Total params: 287",
        "Trainable params: 271",
        "Non-trainable params: 16",
    ]


def test_init_depends_on_seed_and_name_only() -> None:
    a, b = net().init(3), net().init(3)
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)
    other = net().init(4)
    assert not np.array_equal(
        a["params"]["conv"]["kernel"], other["params"]["conv"]["kernel"]
    )
    assert set(a) == {"params", "state"}
    assert set(a["state"]["norm"]) == {"moving_mean", "moving_variance"}


def test_the_pure_face_and_the_handy_face_agree() -> None:
    model = net()
    model.variables = variables_for(model.graph)
    x = data()
    plain = model.apply(model.variables, x)
    np.testing.assert_allclose(model(x), plain, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(
        model.predict(x, batch_size=3), plain, rtol=2e-5, atol=2e-5
    )
    assert isinstance(model.predict(x), np.ndarray)


def test_a_training_step_is_pure() -> None:
    model = net()
    variables = model.init(0)
    step = model.step(variables, data(), training=True, rng=1)
    again = model.step(variables, data(), training=True, rng=jax.random.key(1))
    np.testing.assert_array_equal(step.outputs, again.outputs)
    other = model.step(variables, data(), training=True, rng=2)
    assert not np.array_equal(step.outputs, other.outputs)
    assert set(step.losses) == {"conv/kernel"}
    kernel = np.asarray(variables["params"]["conv"]["kernel"], np.float64)
    np.testing.assert_allclose(
        step.losses["conv/kernel"], 0.01 * (kernel**2).sum(), rtol=1e-6
    )
    assert not np.array_equal(
        step.state["norm"]["moving_mean"], variables["state"]["norm"]["moving_mean"]
    )
    with pytest.raises(DataError, match="draws random numbers: rng is needed"):
        model.apply(variables, data(), training=True)


def test_gradients_flow_through_apply() -> None:
    model = net()
    variables = model.init(0)

    def loss(params: dict) -> jax.Array:
        outputs = model.apply({**variables, "params": params}, data(), True, rng=0)
        return (outputs**2).sum()

    gradient = jax.jit(jax.grad(loss))(variables["params"])
    assert jax.tree.structure(gradient) == jax.tree.structure(variables["params"])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_models_of_the_same_layers_share_weights() -> None:
    x = gj.Input((4,))
    shared = gj.layers.Dense(3, name="shared")
    h = shared(x)
    one = gj.Model(x, h)
    two = gj.Model(x, gj.layers.Dense(2, name="head")(h))
    one.set_weights([np.full((4, 3), 2.0), np.ones(3)])
    np.testing.assert_array_equal(two.get_weights()[0], np.full((4, 3), 2.0))
    before = two.predict(np.ones((1, 4)))
    one.set_weights([np.zeros((4, 3)), np.zeros(3)])
    assert not np.array_equal(two.predict(np.ones((1, 4))), before)


def test_set_weights_changes_all_or_nothing() -> None:
    model = net()
    before = model.get_weights()
    with pytest.raises(DataError, match="set_weights: expected 8 arrays, received 1"):
        model.set_weights(before[:1])
    wrong = [*(w + 1 for w in before[:-1]), np.zeros(4)]
    message = r"variable 'out/bias': expected shape \(3,\), received \(4,\)"
    with pytest.raises(DataError, match=message):
        model.set_weights(wrong)
    text = [np.array(["a"] * w.size).reshape(w.shape) for w in before]
    with pytest.raises(DataError, match="variable 'conv/kernel': expected numbers"):
        model.set_weights(text)
    for new, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(new, old)


def test_variables_with_a_missing_entry() -> None:
    model = net()
    variables = model.variables
    del variables["params"]["conv"]["kernel"]
    with pytest.raises(DataError, match="expected an entry for 'conv/kernel'"):
        model.variables = variables
    with pytest.raises(DataError, match="expected an entry for 'conv/kernel'"):
        model.apply(variables, data())


def test_a_nested_model_checks_its_inputs() -> None:
    model = net("inner")
    with pytest.raises(
        CaptureError, match="Model 'inner': expected 1 tensors, received 2"
    ):
        model([gj.Input((6, 6, 2)), gj.Input((6, 6, 2))])
    with pytest.raises(
        ShapeError, match=r"input 'image': expected float32\[batch, 6, 6, 2\]"
    ):
        model(gj.Input((6, 7, 2)))
    with pytest.raises(ShapeError, match="ranks 4 and 2 differ"):
        model(gj.Input((6,)))


def test_a_free_model_takes_known_sizes_when_called() -> None:
    x = gj.Input((None, None, 2))
    inner = gj.Model(x, gj.layers.Conv2D(3, 3)(x))
    y = gj.Input((8, 9, 2))
    assert inner.output_shape == (None, None, None, 3)
    assert inner(y).shape == (None, 6, 7, 3)


def test_frozen_layers_by_path() -> None:
    inner = net("inner")
    x = gj.Input((6, 6, 2))
    outer = gj.Model(x, gj.layers.Dense(2, name="top")(inner(x)))
    assert outer.frozen_layers() == ()
    inner.get_layer("conv").trainable = False
    assert outer.frozen_layers() == ("inner/conv",)
    inner.trainable = False
    assert outer.frozen_layers() == ("inner",)
    outer.trainable = False
    assert outer.frozen_layers() == ("input", "inner", "top")


def test_jit_binds_rebinds_and_explains() -> None:
    model = net()
    model.variables = variables_for(model.graph)
    exe = gj.jit(model)
    x = data()
    np.testing.assert_array_equal(exe(x), model(x))
    other = variables_for(model.graph, seed=9)
    np.testing.assert_allclose(
        exe.rebind(other)(x), model.apply(other, x), rtol=2e-5, atol=2e-5
    )
    text = exe.explain()
    assert "ops: 5 -> 3" in text
    assert "norm/batch_norm: into conv/conv" in text
    assert exe.flops == 2 * (4 * 4 * 4 * 9 * 2) + 2 * 64 * 3
    assert exe.bytes == exe.cost().weight_bytes + exe.cost().activation_bytes


def test_an_unbound_executable_says_so() -> None:
    exe = gj.jit(net().graph)
    with pytest.raises(DataError, match="no weights are bound to graph 'model'"):
        exe(data())


def test_an_executable_with_changing_state_wants_step() -> None:
    model = net()
    exe = gj.jit(model, passes=list(gj.passes.TRAINING))
    with pytest.raises(DataError, match=r"use exe\.step\(state, x\)"):
        exe(data())
    step = exe.step(model.variables["state"], data(), rng=0)
    plain = model.step(model.variables, data(), training=True, rng=0)
    np.testing.assert_allclose(step.outputs, plain.outputs, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(
        step.state["norm"]["moving_mean"],
        plain.state["norm"]["moving_mean"],
        rtol=1e-5,
        atol=1e-7,
    )


def test_rebinding_copies_what_can_change() -> None:
    model = net()
    arrays = {k: np.array(v) for k, v in model.arrays().items()}
    exe = gj.jit(model)
    before = np.array(exe(data()))
    from graphjit.variables import nest

    tree = {
        name: nest(
            {p.name: arrays[p.name] for p in model.graph.params if p.collection == name}
        )
        for name in ("params", "state")
    }
    exe.rebind(tree)
    for array in arrays.values():
        array[...] = 100.0
    np.testing.assert_array_equal(exe(data()), before)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((2, 6, 6, 3)), r"expected float32\[batch, 6, 6, 2\], received shape"),
        (np.ones((6, 6, 2)), "the batch axis is missing"),
        (np.array([["a"] * 3]), "expected numbers"),
        ([[1.0], [1.0, 2.0]], "not an array"),
    ],
)
def test_data_that_does_not_fit(x: object, message: str) -> None:
    model = net()
    with pytest.raises(DataError, match=message):
        model.predict(x)
    with pytest.raises(DataError, match=message):
        model(x)


def test_predict_of_no_rows_and_bad_batch_size() -> None:
    model = net()
    assert model.predict(np.zeros((0, 6, 6, 2))).shape == (0, 3)
    with pytest.raises(DataError, match="batch_size: expected an int >= 1, received 0"):
        model.predict(data(), batch_size=0)


def test_other_numeric_dtypes_are_cast() -> None:
    model = net()
    x = np.arange(72).reshape(1, 6, 6, 2)
    np.testing.assert_array_equal(model.predict(x), model.predict(x.astype("float32")))
    assert model.predict(x.astype(bool)).shape == (1, 3)


def test_inputs_as_list_tuple_or_dict() -> None:
    a, b = gj.Input((3,), name="a"), gj.Input((3,), name="b")
    model = gj.Model([a, b], gj.layers.Add()([a, gj.layers.ReLU()(b)]))
    x, y = np.ones((2, 3)), np.full((2, 3), -2.0)
    for given in ([x, y], (x, y), {"b": y, "a": x}):
        np.testing.assert_array_equal(model.predict(given), np.ones((2, 3)))
    with pytest.raises(DataError, match=r"expected inputs \['a', 'b'\], received 'c'"):
        model.predict({"a": x, "c": y})
    with pytest.raises(DataError, match="'b' is missing"):
        model.predict({"a": x})
    with pytest.raises(DataError, match="expected 2 inputs"):
        model.predict([x])
    with pytest.raises(DataError, match="batch = 2"):
        model.predict([x, np.ones((3, 3))])
