"""What Keras 1's layers compute, against plain NumPy statements of the formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphjit as gj
from graphjit.errors import CaptureError
from graphjit.keras1 import (
    GRU,
    LSTM,
    AtrousConvolution1D,
    AtrousConvolution2D,
    BatchNormalization,
    Bidirectional,
    Convolution1D,
    Convolution2D,
    Convolution3D,
    Deconvolution2D,
    Embedding,
    Flatten,
    Highway,
    Masking,
    MaxoutDense,
    Sequential,
    SimpleRNN,
    SReLU,
    TimeDistributedDense,
)

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(11)


def draw(*shape: int) -> Array:
    return RNG.normal(size=shape)


def predicted(make: Any, x: Array) -> Array:
    """What a layer gives for data, in float64."""
    with gj.config.using(floatx="float64"):
        tensor = gj.Input(x.shape[1:])
        model = gj.Model(tensor, make()(tensor))
    return model.predict(x)


def close(found: Any, wanted: Any) -> None:
    assert np.shape(found) == np.shape(wanted)
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def hard_sigmoid(x: Array) -> Array:
    return np.clip(0.2 * x + 0.5, 0, 1)


# --- dense ------------------------------------------------------------------------


def test_highway() -> None:
    x, w, wc, b, bc = draw(4, 3), draw(3, 3), draw(3, 3), draw(3), draw(3)
    t = sigmoid(x @ wc + bc)
    wanted = t * np.tanh(x @ w + b) + (1 - t) * x
    close(
        predicted(lambda: Highway(activation="tanh", weights=[w, wc, b, bc]), x), wanted
    )
    t = sigmoid(x @ wc)
    wanted = t * (x @ w) + (1 - t) * x
    close(predicted(lambda: Highway(weights=[w, wc], bias=False), x), wanted)


def test_a_fresh_highway_lets_most_of_its_function_through() -> None:
    """The gate's bias begins with ones."""
    layer = Highway(init="zero")
    layer(gj.Input((3,)))
    assert [w.tolist() for w in layer.get_weights()[2:]] == [[0.0] * 3, [1.0] * 3]
    close(
        predicted(lambda: Highway(init="zero"), np.ones((1, 3))),
        np.full((1, 3), 1 - sigmoid(np.array(1.0))),
    )


def test_maxout_dense() -> None:
    x, w, b = draw(4, 3), draw(5, 3, 2), draw(5, 2)
    each = np.einsum("ni,fio->nfo", x, w) + b
    found = predicted(lambda: MaxoutDense(2, nb_feature=5, weights=[w, b]), x)
    close(found, each.max(1))
    found = predicted(lambda: MaxoutDense(2, 5, weights=[w], bias=False), x)
    close(found, (each - b).max(1))


def test_time_distributed_dense_carries_the_mask() -> None:
    x = draw(2, 5, 3)
    x[0, 2] = 0
    model = Sequential([Masking(input_shape=(5, 3)), TimeDistributedDense(4), GRU(2)])
    w = model.get_weights()
    twin = Sequential([TimeDistributedDense(4, input_shape=(4, 3)), GRU(2)])
    twin.set_weights(w)
    rest = np.delete(x[:1], 2, 1)
    np.testing.assert_allclose(model.predict(x)[:1], twin.predict(rest), atol=1e-6)


def test_flatten_keeps_the_order_of_storage() -> None:
    x = draw(2, 3, 4, 5)
    gj.config.set_image_dim_ordering("th")
    close(predicted(Flatten, x), x.reshape(2, 60))


def test_srelu() -> None:
    x = 3 * draw(6, 4)
    layer = Sequential([SReLU(input_shape=(4,))])
    tl, al, tr, ar = (draw(4).astype(np.float32) for _ in range(4))
    layer.set_weights([tl, al, tr, ar])
    right = tl + abs(tr)
    wanted = np.where(
        x >= right,
        right + ar * (x - right),
        np.where(x > tl, x, tl + al * (x - tl)),
    )
    np.testing.assert_allclose(layer.predict(x), wanted, rtol=1e-4, atol=1e-5)


# --- convolution ------------------------------------------------------------------


def correlated(x: Array, k: Array, stride: Any, rate: Any, pads: Any) -> Array:
    """x (n, *spatial, c) with k (*window, c, f): a sum over taps, tap by tap."""
    rank = k.ndim - 2
    x = np.pad(x, [(0, 0), *pads, (0, 0)])
    window = k.shape[:rank]
    spans = [r * (w - 1) + 1 for r, w in zip(rate, window, strict=True)]
    lengths = [(x.shape[1 + at] - spans[at]) // stride[at] + 1 for at in range(rank)]
    y = np.zeros((x.shape[0], *lengths, k.shape[-1]))
    for tap in np.ndindex(*window):
        part = x
        for at, t in enumerate(tap):
            start = t * rate[at]
            stop = start + stride[at] * (lengths[at] - 1) + 1
            slices = [slice(None)] * x.ndim
            slices[1 + at] = slice(start, stop, stride[at])
            part = part[tuple(slices)]
        y += part @ k[tap]
    return y


def full(k: Array, rate: Any) -> list[tuple[int, int]]:
    rank = k.ndim - 2
    return [(rate[at] * (k.shape[at] - 1),) * 2 for at in range(rank)]


def test_full_along_one_axis() -> None:
    x, k, b = draw(2, 7, 3), draw(4, 1, 3, 5), draw(5)
    found = predicted(
        lambda: Convolution1D(
            5, 4, weights=[k, b], border_mode="full", subsample_length=2
        ),
        x,
    )
    close(found, correlated(x, k[:, 0], (2,), (1,), full(k[:, 0], (1,))) + b)
    assert found.shape[1] == -(-(7 + 4 - 1) // 2)


def test_full_of_images_and_volumes() -> None:
    x, k, b = draw(2, 5, 6, 3), draw(3, 2, 3, 4), draw(4)
    found = predicted(
        lambda: Convolution2D(4, 3, 2, weights=[k, b], border_mode="full"), x
    )
    close(found, correlated(x, k, (1, 1), (1, 1), full(k, (1, 1))) + b)
    x, k, b = draw(2, 4, 5, 3, 2), draw(2, 3, 1, 2, 4), draw(4)
    found = predicted(
        lambda: Convolution3D(4, 2, 3, 1, weights=[k, b], border_mode="full"), x
    )
    close(found, correlated(x, k, (1,) * 3, (1,) * 3, full(k, (1,) * 3)) + b)


def test_atrous_with_strides() -> None:
    x, k, b = draw(2, 11, 3), draw(3, 1, 3, 4), draw(4)
    found = predicted(
        lambda: AtrousConvolution1D(
            4, 3, weights=[k, b], subsample_length=2, atrous_rate=3
        ),
        x,
    )
    close(found, correlated(x, k[:, 0], (2,), (3,), [(0, 0)]) + b)
    x, k, b = draw(2, 9, 10, 3), draw(3, 2, 3, 4), draw(4)
    for mode in ("valid", "full"):

        def make(mode: str = mode) -> Any:
            return AtrousConvolution2D(
                4,
                3,
                2,
                weights=[k, b],
                subsample=(2, 3),
                atrous_rate=(2, 3),
                border_mode=mode,
            )

        pads = full(k, (2, 3)) if mode == "full" else [(0, 0), (0, 0)]
        close(predicted(make, x), correlated(x, k, (2, 3), (2, 3), pads) + b)


def test_border_modes_in_any_case() -> None:
    assert Convolution2D(3, 2, 2, border_mode="SAME").padding == "same"
    assert Convolution2D(3, 2, 2, border_mode="Full").padding == "full"


def test_th_kernels_are_not_flipped() -> None:
    x, k, b = draw(2, 3, 7, 8), draw(4, 3, 3, 2), draw(4)
    found = predicted(
        lambda: Convolution2D(4, 3, 2, weights=[k, b], dim_ordering="th"), x
    )
    last = correlated(
        x.transpose(0, 2, 3, 1), k.transpose(2, 3, 1, 0), (1, 1), (1, 1), [(0, 0)] * 2
    )
    close(found, (last + b).transpose(0, 3, 1, 2))


def spread(x: Array, k: Array, stride: Any, before: Any, size: Any) -> Array:
    """Every element of x adds k (*window, out, in) times itself to its window."""
    n, h, w, _ = x.shape
    taps = k.shape[:2]
    # Room for every window, and for rows behind the last one.
    long = [
        s * i + m + o for s, i, m, o in zip(stride, (h, w), taps, size, strict=True)
    ]
    whole = np.zeros((n, *long, k.shape[2]))
    for i, j in np.ndindex(h, w):
        for a, c in np.ndindex(*taps):
            whole[:, i * stride[0] + a, j * stride[1] + c] += x[:, i, j] @ k[a, c].T
    return whole[:, before[0] : before[0] + size[0], before[1] : before[1] + size[1]]


@pytest.mark.parametrize(
    ("mode", "size", "before"),
    [
        # o = s(i - 1) + a + k - 2p, with a in 0 … s - 1
        ("valid", (9, 14), (0, 0)),
        ("valid", (10, 16), (0, 0)),
        # "same": ceil(o / s) = i, the front pad max((i - 1)s + k - o, 0) // 2
        ("same", (8, 13), (0, 0)),
        ("same", (7, 15), (1, 0)),
        # "full": p = k - 1
        ("full", (5, 12), (2, 1)),
    ],
)
@pytest.mark.parametrize("ordering", ["tf", "th"])
def test_deconvolution2d(mode: str, size: Any, before: Any, ordering: str) -> None:
    x, k, b = draw(2, 4, 5, 3), draw(3, 2, 3, 4), draw(4)
    stride = (2, 3)
    fronts = [
        max((i - 1) * s + w - o, 0) // 2 if mode == "same" else f
        for i, s, w, o, f in zip(
            x.shape[1:3], stride, (3, 2), size, before, strict=True
        )
    ]
    wanted = spread(x, k.transpose(0, 1, 3, 2), stride, fronts, size) + b
    th = ordering == "th"
    kernel = k.transpose(3, 2, 0, 1) if th else k

    def make() -> Any:
        return Deconvolution2D(
            4,
            3,
            2,
            (None, 4, *size) if th else (None, *size, 4),
            weights=[kernel, b],
            border_mode=mode,
            subsample=stride,
            dim_ordering=ordering,
        )

    found = predicted(make, x.transpose(0, 3, 1, 2) if th else x)
    close(found, wanted.transpose(0, 3, 1, 2) if th else wanted)


def test_deconvolution2d_lists_what_it_can_reach() -> None:
    layer = Deconvolution2D(4, 3, 2, (None, 11, 14, 4), subsample=(2, 3))
    with pytest.raises(CaptureError, match="expected 9 or 10 for a length of 4"):
        layer(gj.Input((4, 5, 3)))


# --- recurrent --------------------------------------------------------------------


def gates(names: str, channels: int, units: int) -> dict[str, tuple[Array, ...]]:
    return {
        name: (draw(channels, units), draw(units, units), draw(units)) for name in names
    }


def lstm_steps(x: Array, w: Any, units: int) -> Array:
    h = c = np.zeros((len(x), units))
    steps = []
    for t in range(x.shape[1]):
        z = {g: x[:, t] @ a + h @ u + b for g, (a, u, b) in w.items()}
        i, f, o = (hard_sigmoid(z[g]) for g in "ifo")
        c = f * c + i * np.tanh(z["c"])
        h = o * np.tanh(c)
        steps.append(h)
    return np.stack(steps, 1)


def gru_steps(x: Array, w: Any, units: int) -> Array:
    h = np.zeros((len(x), units))
    steps = []
    for t in range(x.shape[1]):
        z, r = (hard_sigmoid(x[:, t] @ w[g][0] + h @ w[g][1] + w[g][2]) for g in "zr")
        hh = np.tanh(x[:, t] @ w["h"][0] + (r * h) @ w["h"][1] + w["h"][2])
        h = z * h + (1 - z) * hh
        steps.append(h)
    return np.stack(steps, 1)


@pytest.mark.parametrize("consume_less", ["cpu", "mem"])
def test_lstm_of_twelve_arrays(consume_less: str) -> None:
    x, w = 2 * draw(3, 6, 4), gates("icfo", 4, 5)
    arrays = [array for name in "icfo" for array in w[name]]

    def make() -> Any:
        return LSTM(5, weights=arrays, return_sequences=True, consume_less=consume_less)

    close(predicted(make, x), lstm_steps(x, w, 5))


def test_lstm_of_three_arrays() -> None:
    x, w = 2 * draw(3, 6, 4), gates("ifco", 4, 5)
    arrays = [np.concatenate([w[name][at] for name in "ifco"], -1) for at in range(3)]
    found = predicted(lambda: LSTM(5, weights=arrays, consume_less="gpu"), x)
    close(found, lstm_steps(x, w, 5)[:, -1])


@pytest.mark.parametrize("backwards", [False, True])
def test_gru_of_nine_arrays(backwards: bool) -> None:
    x, w = 2 * draw(3, 6, 4), gates("zrh", 4, 5)
    arrays = [array for name in "zrh" for array in w[name]]

    def make() -> Any:
        return GRU(5, weights=arrays, return_sequences=True, go_backwards=backwards)

    close(predicted(make, x), gru_steps(x[:, ::-1] if backwards else x, w, 5))


def test_simple_rnn() -> None:
    x, (w, u, b) = draw(3, 6, 4), gates("h", 4, 5)["h"]
    h = np.zeros((3, 5))
    for t in range(6):
        h = np.tanh(x[:, t] @ w + h @ u + b)
    close(predicted(lambda: SimpleRNN(5, weights=[w, u, b]), x), h)


def test_bidirectional_of_arrays_for_every_gate() -> None:
    x, forth, back = 2 * draw(3, 6, 4), gates("icfo", 4, 5), gates("icfo", 4, 5)
    arrays = [a for w in (forth, back) for name in "icfo" for a in w[name]]

    def make() -> Any:
        return Bidirectional(LSTM(5, return_sequences=True), weights=arrays)

    reverse = lstm_steps(x[:, ::-1], back, 5)[:, ::-1]
    close(predicted(make, x), np.concatenate([lstm_steps(x, forth, 5), reverse], -1))


def test_the_weights_of_a_layer_are_native() -> None:
    w = gates("icfo", 4, 5)
    layer = LSTM(5, weights=[array for name in "icfo" for array in w[name]])
    layer(gj.Input((6, 4)))
    kernel, _, _ = layer.get_weights()
    native = np.concatenate([w[name][0] for name in "ifco"], -1)
    np.testing.assert_allclose(kernel, native, rtol=1e-6)


# --- normalization, embedding -----------------------------------------------------


def norm_weights(channels: int) -> list[Array]:
    return [draw(channels), draw(channels), draw(channels), draw(channels) ** 2 + 0.3]


def test_batch_normalization_mode_0() -> None:
    x, (g, b, m, v) = draw(6, 4), norm_weights(4)
    found = predicted(lambda: BatchNormalization(weights=[g, b, m, v]), x)
    close(found, g * (x - m) / np.sqrt(v + 1e-3) + b)


def test_batch_normalization_mode_1() -> None:
    x, arrays = draw(6, 4), norm_weights(4)
    g, b = arrays[:2]
    e = 0.1
    found = predicted(lambda: BatchNormalization(epsilon=e, mode=1, weights=arrays), x)
    m = x.mean(-1, keepdims=True)
    s = np.sqrt(x.var(-1, keepdims=True) + e)
    close(found, g * (x - m) / (s + e) + b)


def test_batch_normalization_mode_2() -> None:
    """The batch's statistics in prediction too, and running ones that stay."""
    x, arrays = draw(6, 3, 4), norm_weights(3)
    g, b = (array[:, None] for array in arrays[:2])
    found = predicted(lambda: BatchNormalization(mode=2, axis=1, weights=arrays), x)
    m, v = x.mean((0, 2), keepdims=True), x.var((0, 2), keepdims=True)
    close(found, g * (x - m) / np.sqrt(v + 1e-3) + b)
    model = Sequential([BatchNormalization(mode=2, input_shape=(4,))])
    model.compile("sgd", "mse")
    model.fit(draw(8, 4), draw(8, 4), nb_epoch=2, verbose=0)
    kept = [w.tolist() for w in model.get_weights()[2:]]
    assert kept == [[0.0] * 4, [1.0] * 4]


def test_a_frozen_batch_normalization_still_updates() -> None:
    layer = BatchNormalization(input_shape=(4,))
    model = Sequential([layer])
    layer.trainable = False
    model.compile("sgd", "mse")
    model.fit(draw(8, 4) + 3, draw(8, 4), nb_epoch=2, verbose=0)
    gamma, beta, mean, _ = layer.get_weights()
    assert (gamma == 1).all()
    assert (beta == 0).all()
    assert (mean != 0).all()


def test_embedding_drops_rows_of_the_vocabulary() -> None:
    model = Sequential([Embedding(50, 4, input_length=200, init="one", dropout=0.5)])
    x = np.tile(np.arange(50), 4)[None]
    y = np.asarray(model.apply(model.variables, x, training=True, rng=3))[0]
    rows = y.reshape(4, 50, 4)
    assert set(np.unique(rows)) == {0.0, 2.0}
    assert (rows == rows[:1, :, :1]).all()
    np.testing.assert_array_equal(model.predict(x), np.ones((1, 200, 4)))
