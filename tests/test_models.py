"""Whole networks: equal to Keras's own, and what the passes leave of them.

Everything costly (building, compiling in float64) is done once per network, below.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pytest

import graphjit as gj
from benchmarks import models
from benchmarks.mobilenet_v2 import undrawn
from graphjit.passes.fuse_epilogue import is_unary

FORMATS = ("channels_last", "channels_first")
SIZE = 64
CLASSES = 1000

#: name -> (builder, input shape channels last, params at 1000 classes)
NETS = {
    "resnet50": (models.resnet50, (SIZE, SIZE, 3), 25_636_712),
    "mobilenet_v2": (models.mobilenet_v2, (SIZE, SIZE, 3), 3_538_984),
    "cnn": (models.cnn, (8, 10, 1), None),
}
BIG = ("resnet50", "mobilenet_v2")


def build(name: str, data_format: str, dtype: str = "float64") -> gj.Model:
    """A network in a data format, with floatx set to `dtype` while it is built."""
    make, (rows, columns, channels), params = NETS[name]
    first = data_format == "channels_first"
    shape = (channels, rows, columns) if first else (rows, columns, channels)
    before = gj.config.floatx()
    gj.config.set_floatx(dtype)
    try:
        if params is None:
            return make(data_format, input_shape=shape)
        return make(data_format, CLASSES, shape)
    finally:
        gj.config.set_floatx(before)


@dataclass(frozen=True)
class Case:
    """One network in one data format, its weights, data, and graphs."""

    model: gj.Model
    weights: list[Any]
    images: Any
    optimized: gj.Graph
    log: gj.passes.PassLog

    @property
    def main(self) -> gj.Graph:
        return gj.passes.split_prologue(self.optimized)[1]


@functools.cache
def case(name: str, data_format: str) -> Case:
    """The float64 case; the weights and images are float32 numbers."""
    model = build(name, data_format)
    weights = models.lively_weights(model, seed=3)
    model.set_weights(weights)
    images = np.random.default_rng(4).normal(size=(2, *NETS[name][1]))
    images = images.astype(np.float32).astype(np.float64)
    if data_format == "channels_first":
        images = images.transpose(0, 3, 1, 2)
    optimized, log = gj.passes.run(model.graph, gj.passes.INFERENCE, strict=True)
    return Case(model, weights, images, optimized, log)


@functools.cache
def plain_outputs(name: str) -> Any:
    """What the graph gives, as captured but for the change of mode: the reference."""
    made = case(name, "channels_last")
    graph, _ = gj.passes.run(made.model.graph, (gj.passes.ToInference(),))
    return run_jitted(graph, made.model.variables, made.images).outputs


@functools.cache
def optimized_outputs(name: str, data_format: str) -> Any:
    made = case(name, data_format)
    return made.model.predict(made.images)


@pytest.fixture(scope="module", autouse=True)
def _weights_are_let_go() -> Iterator[None]:
    """What is kept here is more than a gigabyte."""
    yield
    for kept in (case, plain_outputs, optimized_outputs, _keras_net):
        kept.cache_clear()


def run_jitted(graph: gj.Graph, variables: Any, x: Any, rng: Any = None) -> Any:
    """`gj.lower(graph)` in one program, since op by op takes far longer."""
    lowered = gj.lower(graph)
    with jax.enable_x64(True):
        step = jax.jit(lambda p, s, x: lowered(p, s, x, rng))
        made = step(variables["params"], variables["state"], x)
        return jax.tree.map(np.asarray, made)


def error(found: Any, reference: Any) -> float:
    """Each row's largest error, as a share of its largest element; the rows' mean."""
    distance = np.abs(np.asarray(found, np.float64) - reference).max(axis=1)
    return float((distance / np.abs(reference).max(axis=1)).mean())


def assert_close(found: Any, wanted: Any) -> None:
    """Every leaf equal to 1e-9, element by element."""
    found_leaves, wanted_leaves = jax.tree.leaves(found), jax.tree.leaves(wanted)
    assert len(found_leaves) == len(wanted_leaves)
    for one, other in zip(found_leaves, wanted_leaves, strict=True):
        assert np.asarray(one).dtype == np.asarray(other).dtype
        floor = 1e-12 * float(np.abs(other).max(initial=0))
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=floor)


# --- the networks themselves --------------------------------------------------------


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("name", BIG)
def test_they_have_as_many_params_as_in_keras(name: str, data_format: str) -> None:
    assert build(name, data_format, "float32").count_params() == NETS[name][2]


@pytest.mark.parametrize("name", BIG)
def test_the_default_shape_is_imagenets(name: str) -> None:
    make = NETS[name][0]
    assert make().input_shape == (None, 224, 224, 3)
    assert make("channels_first").input_shape == (None, 3, 224, 224)
    assert make().output_shape == (None, 1000)


def test_the_small_ones() -> None:
    assert models.mlp().count_params() == 64 * 64 + 64 + 64 * 10 + 10
    assert models.mlp().output_shape == (None, 10)
    assert models.cnn().input_shape == (None, 8, 8, 1)
    assert models.cnn("channels_first").input_shape == (None, 1, 8, 8)
    for model in (models.mlp(), models.cnn()):
        assert model.predict(np.ones((3, *model.input_shape[1:]))).shape == (3, 10)


def test_dtype_reaches_every_param() -> None:
    model = models.mobilenet_v2(input_shape=(32, 32, 3), dtype="bfloat16")
    assert {param.type.dtype for param in model.graph.params} == {"bfloat16"}
    assert model.graph.count("cast") == 0


@pytest.mark.parametrize("name", NETS)
def test_the_test_weights_let_the_images_through(name: str) -> None:
    """Otherwise every class gets the same, and all that follows would pass."""
    outputs = plain_outputs(name)
    assert np.log(outputs).std(axis=1).min() > 1
    assert np.abs(np.log(outputs[0]) - np.log(outputs[1])).std() > 0.1


# --- Keras's own --------------------------------------------------------------------

#: Keras 3 and NumPy 2 do not agree on `__array__`'s arguments.
keras_warns = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")


@functools.cache
def _keras_net(name: str) -> Any:
    keras = pytest.importorskip("keras")
    if keras.config.backend() != "jax":
        pytest.skip(f"keras runs on {keras.config.backend()!r}, not on jax")
    made = {
        "resnet50": keras.applications.ResNet50,
        "mobilenet_v2": keras.applications.MobileNetV2,
    }
    keras.utils.clear_session()  # Keras numbers unnamed layers process-wide.
    with undrawn(keras):
        return made[name](weights=None, input_shape=NETS[name][1], classes=CLASSES)


@keras_warns
@pytest.mark.parametrize("name", BIG)
def test_weights_are_keras_weights(name: str) -> None:
    peer, model = _keras_net(name), case(name, "channels_last").model
    assert [w.shape for w in model.get_weights()] == [
        w.shape for w in peer.get_weights()
    ]
    assert model.count_params() == peer.count_params()
    ours = [param.name for param in model.graph.params]
    theirs = [variable.path for variable in peer.weights]
    assert ours == theirs


@keras_warns
@pytest.mark.parametrize("name", BIG)
def test_layers_are_keras_layers(name: str) -> None:
    peer, model = _keras_net(name), case(name, "channels_last").model
    assert model.captured.names[1:] == tuple(layer.name for layer in peer.layers[1:])
    for ours, theirs in zip(model.layers, peer.layers, strict=True):
        assert type(ours).__name__ == type(theirs).__name__
        for key in ("strides", "padding", "epsilon", "momentum", "use_bias"):
            assert _listed(getattr(ours, key, None)) == _listed(
                getattr(theirs, key, None)
            ), (ours, key)


def _listed(value: Any) -> Any:
    """A setting with lists and pairs alike: ``((1, 1), (1, 1))`` as a nested list."""
    return np.asarray(value).tolist() if isinstance(value, (list, tuple)) else value


@keras_warns
@pytest.mark.parametrize("name", BIG)
def test_outputs_are_keras_outputs(name: str, request: pytest.FixtureRequest) -> None:
    """The mean over twelve images: one image's error varies threefold by chance."""
    if name == "resnet50":
        # Its convolutions in float64 take longer to run than to compile.
        request.getfixturevalue("optimized")
    made, peer = case(name, "channels_last"), _keras_net(name)
    peer.set_weights(made.weights)
    ours = build(name, "channels_last", "float32")
    ours.set_weights(made.weights)
    rng = np.random.default_rng(5)
    images = rng.normal(size=(12, *NETS[name][1])).astype(np.float32)
    reference = made.model.predict(images, batch_size=2)
    assert reference.dtype == np.float64
    peer_error = error(peer.predict(images, batch_size=2, verbose=0), reference)
    our_error = error(ours.predict(images, batch_size=2), reference)
    assert peer_error < 1e-4
    assert our_error <= max(1e-5, 2 * peer_error)


# --- the inference pipeline ---------------------------------------------------------


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("name", NETS)
class TestInference:
    def test_no_norm_is_left(self, name: str, data_format: str) -> None:
        graph = case(name, data_format).optimized
        assert graph.count("batch_norm") == 0
        assert graph.count("batch_norm_inference") == 0

    def test_one_transpose_at_the_image(self, name: str, data_format: str) -> None:
        main = case(name, data_format).main
        moved = [node for node in main.nodes if node.op.kind == "transpose"]
        if data_format == "channels_last":
            assert moved == []
        else:
            (only,) = moved
            assert only.operands == (main.inputs[0].value,)
            assert only.types[0].shape == ("batch", *NETS[name][1])

    def test_no_pad_before_a_convolution(self, name: str, data_format: str) -> None:
        main = case(name, data_format).main
        users = main.users()
        pads = [node for node in main.nodes if node.op.kind == "pad"]
        readers = [r.op.kind for node in pads for r in users[node.value]]
        assert readers == (["max_pool"] if name == "resnet50" else [])

    def test_activations_are_epilogues(self, name: str, data_format: str) -> None:
        main = case(name, data_format).main
        users, results = main.users(), set(main.results())
        made = {node.name for node in main.nodes}
        for node in main.nodes:
            if not is_unary(node.op):
                continue
            (value,) = node.operands
            assert value is not None
            alone = len(users[value]) == 1 and value not in results
            assert not (value.node in made and value.index == 0 and alone), node

    def test_what_is_left(self, name: str, data_format: str) -> None:
        main = case(name, data_format).main
        convs = [node for node in main.nodes if node.op.kind == "conv"]
        counts = Counter(node.op.kind for node in main.nodes)
        del counts["conv"], counts["transpose"]
        wanted = {
            "resnet50": {"add": 16, "pad": 1, "max_pool": 1, "reduce_mean": 1},
            "mobilenet_v2": {"add": 10, "reduce_mean": 1},
            "cnn": {"max_pool": 1, "reshape": 1},
        }[name]
        assert counts == {**wanted, "dense": 1, "softmax": 1}
        assert len(convs) == {"resnet50": 53, "mobilenet_v2": 52, "cnn": 3}[name]
        fused = {"resnet50": 1 + 2 * 16, "mobilenet_v2": 1 + 17 + 16 + 1, "cnn": 3}
        assert sum(bool(node.epilogue) for node in convs) == fused[name]
        # ResNet's other 16 activations follow its sums.
        sums = [node for node in main.nodes if node.op.kind == "add"]
        assert all(bool(node.epilogue) == (name == "resnet50") for node in sums)

    def test_prologue_keeps_the_op_counts(self, name: str, data_format: str) -> None:
        graph = case(name, data_format).optimized
        prologue, main = gj.passes.split_prologue(graph)
        gj.verify(prologue)
        gj.verify(main)
        kinds = Counter(node.op.kind for node in graph.nodes)
        split = Counter(node.op.kind for node in (*prologue.nodes, *main.nodes))
        assert split == kinds
        assert prologue.inputs == ()

    def test_outputs_stay_equal(self, name: str, data_format: str) -> None:
        assert_close(optimized_outputs(name, data_format), plain_outputs(name))

    def test_the_log_speaks_of_every_norm(self, name: str, data_format: str) -> None:
        made = case(name, data_format)
        (entry,) = made.log.of("FoldNorm")
        norms = made.model.graph.count("batch_norm")
        assert norms > 0
        assert len(entry.done) == norms
        assert entry.refused == []


@pytest.mark.parametrize("name", NETS)
def test_both_formats_have_the_same_weights_and_outputs(name: str) -> None:
    last, first = (case(name, data_format) for data_format in FORMATS)
    assert [p.name for p in last.model.graph.params] == [
        p.name for p in first.model.graph.params
    ]
    for one, other in zip(last.weights, first.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert_close(*(optimized_outputs(name, data_format) for data_format in FORMATS))


@pytest.mark.parametrize("name", BIG)
def test_both_formats_optimize_to_the_same_nodes(name: str) -> None:
    last, first = (case(name, data_format).main for data_format in FORMATS)

    def shown(graph: gj.Graph) -> list[Any]:
        nodes = [node for node in graph.nodes if node.op.kind != "transpose"]
        return [(n.name, n.op.kind, n.epilogue, n.kernel, n.types) for n in nodes]

    assert shown(last) == shown(first)


# --- the training pipeline ----------------------------------------------------------


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("name", NETS)
def test_training_leaves_the_norms(name: str, data_format: str) -> None:
    graph = case(name, data_format).model.graph
    trained, log = gj.passes.run(graph, gj.passes.TRAINING, strict=True)
    assert trained.count("batch_norm") == graph.count("batch_norm")
    assert trained.count("batch_norm_inference") == 0
    assert [u.param for u in trained.updates] == [u.param for u in graph.updates]
    assert trained.count("transpose") == (data_format == "channels_first")
    assert all(entry.done == [] for entry in log.of("FoldNorm"))


@pytest.mark.parametrize(
    ("name", "data_format"),
    [("resnet50", "channels_last"), ("mobilenet_v2", "channels_first")],
)
def test_a_training_step_stays_equal(name: str, data_format: str) -> None:
    """Outputs, new statistics and losses; each format on one of the large networks."""
    made = case(name, data_format)
    graph = made.model.graph
    trained, _ = gj.passes.run(graph, gj.passes.TRAINING)
    plain, passed = (
        run_jitted(one, made.model.variables, made.images) for one in (graph, trained)
    )
    assert_close(passed, plain)
    before = map(np.asarray, jax.tree.leaves(made.model.variables["state"]))
    after = jax.tree.leaves(passed.state)
    assert all(np.any(a != b) for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize("data_format", FORMATS)
def test_gradients_of_a_training_step_stay_equal(data_format: str) -> None:
    made = case("cnn", data_format)
    trained, _ = gj.passes.run(made.model.graph, gj.passes.TRAINING)

    def gradients(graph: gj.Graph) -> Any:
        lowered = gj.lower(graph)

        def loss(params: Any) -> Any:
            step = lowered(params, made.model.variables["state"], made.images, 7)
            return -jax.numpy.log(step.outputs[:, 3]).mean()

        with jax.enable_x64(True):
            made_of = jax.jit(jax.grad(loss))(made.model.variables["params"])
            return jax.tree.map(np.asarray, made_of)

    assert_close(gradients(trained), gradients(made.model.graph))


# --- arrays that are handed over ----------------------------------------------------


def test_weights_are_copied_before_the_call_returns() -> None:
    """`jnp.array(copy=True)` copies large arrays a little later (JAX 0.10)."""
    x = gj.Input((1000,))
    model = gj.Model(x, gj.layers.Dense(1000, use_bias=False, name="dense")(x))
    exe = gj.jit(model)
    ones = np.ones((1, 1000), np.float32)
    for _ in range(10):
        weights = np.zeros((1000, 1000), np.float32)
        model.set_weights([weights])
        weights[:] = 5
        np.testing.assert_array_equal(model.get_weights()[0], 0)
        weights[:] = 0
        exe.rebind({"params": {"dense": {"kernel": weights}}, "state": {}})
        weights[:] = 5
        np.testing.assert_array_equal(exe(ones), 0)


def test_a_buffer_may_be_filled_again_at_once() -> None:
    """JAX reads aligned NumPy memory in place, and returns before it has."""
    model = models.mlp()
    model.set_weights(models.lively_weights(model))
    exe = gj.jit(model)
    batches = np.random.default_rng(0).normal(size=(10, 512, 64)).astype(np.float32)
    wanted = [np.asarray(exe(batch)) for batch in batches]
    buffer = np.empty((512, 64), np.float32)
    for call in (exe, lambda x: exe.step({}, x).outputs):
        found: list[Any] = []
        for batch in batches:
            buffer[:] = batch
            found.append(call(buffer))
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, other)
