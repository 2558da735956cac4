"""The host's generator: exact distributions, and numbers that never change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from statistics import NormalDist

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special

from graphjit import host_random
from graphjit.errors import CaptureError
from graphjit.host_random import HostRandom, numpy_dtype

NORMAL = NormalDist()
COUNT = 200_000
DISTRIBUTIONS = ["uniform", "normal", "truncated_normal"]
DTYPES = ["float16", "bfloat16", "float32", "float64"]


def draw(kind: str, count: int, dtype: str, seed: int = 0, name: str = "w") -> NDArray:
    return getattr(HostRandom(seed, name), kind)((count,), dtype=dtype)


def raw_words(seed: int, name: str, count: int, bits: int) -> list[int]:
    """The stream, stated apart from the module: Philox under a blake2b key."""
    text = f"{seed}:{name}".encode()
    key = hashlib.blake2b(text, digest_size=16, person=b"graphjit").digest()
    stream = np.random.Philox(key=int.from_bytes(key, "little"))
    raw = [int(word) for word in stream.random_raw(count)]
    if bits == 64:
        return raw
    return [half for word in raw for half in (word & 0xFFFFFFFF, word >> 32)][:count]


def cdf(kind: str) -> Callable[[NDArray], NDArray]:
    low, high = special.ndtr(-2.0), special.ndtr(2.0)
    return {
        "uniform": lambda x: x,
        "normal": special.ndtr,
        "truncated_normal": lambda x: (special.ndtr(x) - low) / (high - low),
    }[kind]


# --- the numbers ----------------------------------------------------------------------

GOLDEN = {
    ("uniform", "float64"): [0.6403556172388166, 0.3386702008774326],
    ("normal", "float64"): [-1.0787229885537077, 0.41609511861529214],
    ("truncated_normal", "float64"): [-1.0080320773104647, 0.39611323018907857],
    ("uniform", "bfloat16"): [0.8515625, 0.640625],
    ("normal", "bfloat16"): [-0.3828125, -1.078125],
    ("truncated_normal", "bfloat16"): [-0.365234375, -1.0078125],
    ("uniform", "float16"): [0.8505859375, 0.64013671875],
    ("normal", "float16"): [-0.3837890625, -1.0791015625],
    ("truncated_normal", "float16"): [-0.365478515625, -1.0078125],
    ("uniform", "float32"): [0.8506116271018982, 0.6403555870056152],
    ("normal", "float32"): [-0.38366955518722534, -1.0787229537963867],
    ("truncated_normal", "float32"): [-0.3653933107852936, -1.0080320835113525],
}


@pytest.mark.parametrize(("kind", "dtype"), GOLDEN)
def test_golden_values(kind: str, dtype: str) -> None:
    # Exact: a changed value would change every model's initial weights.
    assert draw(kind, 2, dtype, seed=3, name="x").tolist() == GOLDEN[kind, dtype]


def test_golden_digest() -> None:
    # Enough values to cross a chunk and to reach both branches of the quantile.
    values = [draw(kind, 70_001, "float32").tobytes() for kind in DISTRIBUTIONS]
    values += [draw(kind, 70_001, "float64").tobytes() for kind in DISTRIBUTIONS]
    digest = hashlib.sha256(b"".join(values)).hexdigest()
    assert digest == "3f8afcd30c90c4aabb4d128ecd752f2f26805faee7a439219d02a295b0b4734d"


@pytest.mark.parametrize(("dtype", "bits"), [("float32", 32), ("float64", 64)])
def test_uniform_is_the_top_bits_of_the_word(dtype: str, bits: int) -> None:
    kept = 24 if bits == 32 else 53
    words = raw_words(5, "a/b", 1001, bits)
    wanted = [(word >> (bits - kept)) / 2**kept for word in words]
    assert draw("uniform", 1001, dtype, 5, "a/b").tolist() == wanted


@pytest.mark.parametrize(
    ("dtype", "bits", "tolerance"), [("float32", 32, 2e-6), ("float64", 64, 2e-14)]
)
@pytest.mark.parametrize("kind", ["normal", "truncated_normal"])
def test_normal_is_the_inverse_cdf_of_the_word(
    kind: str, dtype: str, bits: int, tolerance: float
) -> None:
    words = raw_words(5, "a/b", 5001, bits)
    tails = [((word % 2 ** (bits - 1)) + 0.5) / 2**bits for word in words]
    if kind == "truncated_normal":
        beyond = NORMAL.cdf(-2.0)
        tails = [beyond + (1 - 2 * beyond) * tail for tail in tails]
    signs = [-1 if word >> (bits - 1) else 1 for word in words]
    wanted = [-s * NORMAL.inv_cdf(p) for s, p in zip(signs, tails, strict=True)]
    values = draw(kind, 5001, dtype, 5, "a/b")
    np.testing.assert_allclose(values, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_quantile_over_all_tails(dtype: str) -> None:
    # Down to the least tail a word can give: the far branch is never met by chance.
    precision = {"float32": host_random._SINGLE, "float64": host_random._DOUBLE}[dtype]
    exponents = np.linspace(1.0, precision.bits + 1, 3000)
    p = (2.0**-exponents).astype(dtype)
    x = host_random._quantile(p, precision)
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    wanted = -special.ndtri(p.astype(np.float64))
    np.testing.assert_allclose(x, wanted, rtol=tolerance, atol=tolerance)
    assert x.dtype == dtype


# --- distributions --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", DISTRIBUTIONS)
def test_kolmogorov_smirnov(kind: str, dtype: str) -> None:
    values = np.sort(draw(kind, COUNT, dtype).astype(np.float64))
    reached = cdf(kind)(values)
    steps = np.arange(COUNT + 1) / COUNT
    distance = max(np.max(steps[1:] - reached), np.max(reached - steps[:-1]))
    # exceeded by a true sample once in 30,000 streams
    assert distance * np.sqrt(COUNT) < 2.35


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("kind", "moments"),
    [
        ("uniform", (1 / 2, 1 / 3, 1 / 4, 1 / 5)),
        ("normal", (0, 1, 0, 3)),
        ("truncated_normal", (0, 0.7737413035, 0, 1.4161236)),
    ],
)
def test_moments(kind: str, moments: tuple[float, ...], dtype: str) -> None:
    values = draw(kind, COUNT, dtype).astype(np.float64)
    for power, moment in enumerate(moments, start=1):
        sample = values**power
        error = abs(sample.mean() - moment)
        rounding = 2.0 ** -(7 if dtype == "bfloat16" else 10)
        slack = 0 if dtype.endswith(("32", "64")) else rounding * abs(moment)
        assert error < 5 * sample.std() / np.sqrt(COUNT) + slack


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_neighbours_are_independent(dtype: str) -> None:
    values = draw("normal", COUNT, dtype).astype(np.float64)
    for lag in (1, 2, 3, 4, 32768):
        correlation = np.mean(values[lag:] * values[:-lag])
        assert abs(correlation) < 5 / np.sqrt(COUNT - lag)


def test_streams_of_other_seeds_and_names_are_independent() -> None:
    base = draw("normal", COUNT, "float32").astype(np.float64)
    for seed, name in [(1, "w"), (-1, "w"), (2**70, "w"), (0, "v"), (0, "é"), (0, "")]:
        other = draw("normal", COUNT, "float32", seed, name)
        assert abs(np.mean(base * other)) < 5 / np.sqrt(COUNT)


def test_seed_and_name_cannot_be_confused() -> None:
    assert draw("uniform", 1, "float32", 1, "2:x") != draw("uniform", 1, "float32", 12)
    assert draw("uniform", 1, "float32", 1, "1:w") != draw(
        "uniform", 1, "float32", 11, "w"
    )


# --- bounds ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-0.05, 0.05), (3.0, 3.01), (-2, -1)])
def test_uniform_bounds(bounds: tuple[float, float], dtype: str) -> None:
    kind = numpy_dtype(dtype)
    low, high = (kind.type(bound) for bound in bounds)
    values = HostRandom(0, "w").uniform((100_000,), *bounds, dtype)
    assert values.dtype == kind
    assert np.all(values >= low)
    assert np.all(values < high)


@given(
    st.floats(-1e3, 1e3, width=32), st.floats(0, 1e3, width=32), st.sampled_from(DTYPES)
)
@settings(max_examples=50, deadline=None)
def test_uniform_excludes_high(low: float, span: float, dtype: str) -> None:
    kind = numpy_dtype(dtype)
    high = low + span
    values = HostRandom(0, "w").uniform((4096,), low, high, dtype)
    assert np.all(values >= kind.type(low))
    if kind.type(low) < kind.type(high):
        assert np.all(values < kind.type(high))
    else:
        assert np.all(values == kind.type(low))


@pytest.mark.parametrize("dtype", DTYPES)
def test_truncation_bounds(dtype: str) -> None:
    values = HostRandom(0, "w").truncated_normal((COUNT,), dtype=dtype)
    assert np.abs(values.astype(np.float64)).max() <= 2.0
    assert np.abs(values.astype(np.float64)).max() > 1.99
    kind = numpy_dtype(dtype)
    shifted = HostRandom(0, "w").truncated_normal((COUNT,), 1.0, 0.3, dtype)
    assert shifted.min() >= kind.type(0.4) - kind.type(0.01 if kind.itemsize < 4 else 0)
    assert shifted.max() <= kind.type(1.6) + kind.type(0.01 if kind.itemsize < 4 else 0)


def test_affine_parameters() -> None:
    for kind in ("normal", "truncated_normal"):
        plain = getattr(HostRandom(0, "w"), kind)((1000,), dtype="float64")
        moved = getattr(HostRandom(0, "w"), kind)((1000,), 3.0, 0.25, "float64")
        np.testing.assert_array_equal(moved, 3.0 + 0.25 * plain)
        still = getattr(HostRandom(0, "w"), kind)((10,), 3.0, 0.0)
        np.testing.assert_array_equal(still, np.full(10, 3.0, np.float32))


# --- shapes and streams ---------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", DISTRIBUTIONS)
@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (2, 3, 4)])
def test_shapes(kind: str, shape: tuple[int, ...], dtype: str) -> None:
    values = getattr(HostRandom(0, "w"), kind)(shape, dtype=dtype)
    assert values.shape == shape
    assert values.dtype == numpy_dtype(dtype)
    flat = draw(kind, int(np.prod(shape)), dtype)
    np.testing.assert_array_equal(values.reshape(-1), flat)
    assert values.flags.writeable
    assert values.flags.c_contiguous


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", DISTRIBUTIONS)
def test_chunks_do_not_show(
    kind: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = draw(kind, 1000, dtype)
    monkeypatch.setattr(host_random, "_CHUNK", 64)
    np.testing.assert_array_equal(draw(kind, 1000, dtype), whole)
    np.testing.assert_array_equal(draw(kind, 333, dtype), whole[:333])


def test_calls_go_on_along_the_stream() -> None:
    stream = HostRandom(0, "w")
    parts = [stream.uniform((4,)), stream.uniform((4,))]
    np.testing.assert_array_equal(np.concatenate(parts), draw("uniform", 8, "float32"))


def test_numpys_own_generators_are_left_alone() -> None:
    before = np.random.get_state(legacy=False)["state"]["key"].copy()
    draw("normal", 10, "float32")
    after = np.random.get_state(legacy=False)["state"]["key"]
    np.testing.assert_array_equal(before, after)


# --- refusals -------------------------------------------------------------------------


def test_numpy_dtype() -> None:
    assert numpy_dtype("float32") == np.float32
    assert numpy_dtype("bfloat16") == ml_dtypes.bfloat16
    with pytest.raises(
        CaptureError,
        match=r"^dtype: expected a known name, received 'float23'\n"
        r"  hint: did you mean 'float32'\?$",
    ):
        numpy_dtype("float23")


def test_refusals() -> None:
    stream = HostRandom(0, "fc/kernel")
    where = "^random values of 'fc/kernel': expected"
    with pytest.raises(CaptureError, match=f"{where} a floating dtype, received 'int8"):
        stream.normal((2,), dtype="int8")
    with pytest.raises(CaptureError, match=f"{where} a floating dtype, received 'bool"):
        stream.uniform((2,), dtype="bool")
    with pytest.raises(CaptureError, match=rf"{where} low <= high, received \(1, 0\)$"):
        stream.uniform((2,), 1, 0)
    with pytest.raises(CaptureError, match=f"{where} std >= 0, received -1.0$"):
        stream.truncated_normal((2,), 0.0, -1.0)
    with pytest.raises(CaptureError, match=f"{where} bounds within float16, received"):
        stream.uniform((2,), 0.0, 1e6, dtype="float16")
    with pytest.raises(CaptureError, match=f"{where} bounds within float32, received"):
        stream.uniform((2,), -3e38, 3e38)
