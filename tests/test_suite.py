"""The bench suite: its networks, their twins, its tables and its page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphjit as gj
from benchmarks.suite import __main__ as command
from benchmarks.suite import contest, page, peers, plan
from benchmarks.suite.candidates import loaded
from benchmarks.suite.flax_nets import flax_call
from benchmarks.suite.nets import NETS, Built, Net, built, chosen
from benchmarks.suite.table import Row, in_words, merge, read, rows_of
from benchmarks.suite.twin import channels_first, moved
from graphjit.stopwatch import Timing

OWN = [net for net in NETS if net.own is not None]
PICTURES = [net for net in NETS if net.formats and net.family == "conv"]


def _tiny(net: Net, by: Any = gj) -> Built:
    return built(net, net.tiny, by)


def _spread(array: Any) -> float:
    return float(np.ptp(array) / np.abs(array).max())


# --- networks -------------------------------------------------------------------------


@pytest.mark.parametrize("net", OWN, ids=lambda net: net.name)
def test_own_networks_say_something(net: Net) -> None:
    model = loaded(_tiny(net))
    answer = model.predict(net.data(net.tiny, 3))
    assert np.isfinite(answer).all()
    assert _spread(answer) > 1e-2


@pytest.mark.parametrize("net", OWN, ids=lambda net: net.name)
def test_graphjit_builds_own_networks_as_keras_does(net: Net) -> None:
    keras = pytest.importorskip("keras")
    ours, theirs = _tiny(net), _tiny(net, keras)
    shapes = [[w.shape for w in one.weights] for one in (ours, theirs)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("net", PICTURES, ids=lambda net: net.name)
def test_twins_give_what_the_networks_give(net: Net) -> None:
    keras = pytest.importorskip("keras")
    given = _tiny(net, keras)
    last = loaded(given)
    first = loaded(given, channels_first(given.text))
    assert first.input_shape[1] == last.input_shape[-1]
    x = net.data(net.tiny, 2)
    wanted = np.asarray(last(x))
    if wanted.ndim > 2:
        wanted = moved(wanted)
    answer = np.asarray(first(moved(x)))
    np.testing.assert_allclose(answer, wanted, atol=1e-5 * np.abs(wanted).max())


def test_networks_in_flax_give_what_the_networks_give() -> None:
    written: list[str] = []
    for net in OWN:
        given = _tiny(net)
        by_flax = flax_call(given)
        if by_flax is not None:
            x = net.data(net.tiny, 3)
            answer = np.asarray(loaded(given)(x))
            np.testing.assert_allclose(np.asarray(by_flax(x)), answer, atol=1e-6)
            written.append(net.name)
    assert written == ["cnn6", "mlp"]


def test_a_reshape_that_mixes_places_has_no_twin() -> None:
    x = gj.Input((4, 4, 2))
    y = gj.layers.Reshape((2, 2, 8))(x)
    keras = pytest.importorskip("keras")
    x = keras.Input((4, 4, 2))
    y = keras.layers.Reshape((2, 2, 8))(x)
    with pytest.raises(ValueError, match="mixes places and channels"):
        channels_first(keras.Model(x, y).to_json())


def test_networks_are_chosen_by_name_or_family() -> None:
    assert [net.name for net in chosen(["mlp", "recurrent"])] == ["lstm", "gru", "mlp"]
    assert chosen([]) == list(NETS)
    with pytest.raises(ValueError, match="received 'alexnet'"):
        chosen(["alexnet"])


def test_another_network_or_weight_has_another_key() -> None:
    one = _tiny(chosen(["mlp"])[0])
    other = Built(one.net, one.size, one.text, [2 * w for w in one.weights])
    assert one.key.startswith("mlp-8-")
    assert one.key != other.key


# --- contests -------------------------------------------------------------------------


class _Counted:
    """Takes a given time per call, on no clock."""

    def __init__(self, name: str, each_s: float, log: list[str]) -> None:
        self.name = name
        self.each_s = each_s
        self.log = log

    def turn(self, calls: int) -> float:
        self.log.append(f"{self.name}{calls}")
        return calls * self.each_s


def test_candidates_take_turns_and_slow_ones_fewer() -> None:
    log: list[str] = []
    made = contest.Contest("b1", [_Counted("a", 0.004, log), _Counted("b", 2.0, log)])
    timings = made.timings()
    assert len(timings["a"].rounds_ms) == contest.MOST
    assert len(timings["b"].rounds_ms) == contest.FEWEST
    assert timings["a"].median_ms == pytest.approx(4.0)
    # The first look at a short call does not count.
    looks = [*["a1"] * (1 + contest.LOOKS), "b1"]
    assert log[: len(looks)] == looks
    log = log[len(looks) :]
    rounds = [log[at : at + 2] for at in range(0, 2 * contest.FEWEST, 2)]
    assert all(sorted(turns) == ["a3", "b1"] for turns in rounds)
    assert ["a3", "b1"] in rounds
    assert ["b1", "a3"] in rounds


def test_answers_are_compared_before_anything_is_timed() -> None:
    made = contest.Contest("b1")
    right = np.array([0.25, 0.75])
    contest.check(made, {"graphjit": right, "peer": right + 3e-5}, "graphjit")
    assert made.errors == {"graphjit": 0.0, "peer": pytest.approx(4e-5)}
    with pytest.raises(RuntimeError, match=r"peer and graphjit differ by 1\.3e-03"):
        contest.check(made, {"graphjit": right, "peer": right + 1e-3}, "graphjit")


def test_a_peer_that_is_not_there_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(peers.PEERS, "onnxruntime", ("no_such_package",))
    made = plan.Plan((1,), ("onnxruntime", "plain"), True, Path("build"))
    assert made.peers == ("plain",)
    assert "onnxruntime left out: no_such_package not installed" in made.notes


def test_without_keras_own_networks_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "keras_on_jax", lambda: None)
    made = plan.Plan((1,), ("plain",), True, Path("build"))
    assert made.notes == ["without Keras on JAX: only networks of our own"]
    assert [made.runs(net) for net in chosen(["mlp", "resnet50"])] == [False, True]
    text = made.built(chosen(["mlp"])[0]).text
    assert gj.model_from_json(text).output_shape == (None, 10)


def test_a_worker_that_fails_says_why() -> None:
    pytest.importorskip("keras")
    with (
        peers.Process("jax") as worker,
        pytest.raises(RuntimeError, match="the worker failed in build"),
    ):
        worker.ask("build", "{}", [])


# --- tables ---------------------------------------------------------------------------


def _timed(net: str = "mlp", case: str = "b1", **medians: float) -> list[Row]:
    timings = {name: Timing((ms,)) for name, ms in medians.items()}
    return rows_of("inference", net, case, timings, {"openvino": 1e-7})


def test_a_file_keeps_the_newest_rows_of_each_case(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    merge(path, _timed(graphjit=2.0, plain=3.0))
    merge(path, _timed(case="b8", graphjit=8.0))
    merge(path, _timed(graphjit=1.0))
    assert [(r.case, r.candidate, r.value) for r in read(path)] == [
        ("b1", "graphjit", 1.0),
        ("b8", "graphjit", 8.0),
    ]
    assert json.loads(path.read_text())["environment"]["versions"]["jax"]


def test_a_contest_in_words() -> None:
    text = in_words(_timed(graphjit=2.0, openvino=3.0))
    assert " ".join(text.split()) == "inference mlp b1 graphjit 2 ms openvino 1.5x"


def test_the_page_has_ratios_and_their_means(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    merge(path, _timed("mlp", graphjit=2.0, openvino=1.0))
    merge(path, _timed("cnn6", graphjit=2.0, openvino=4.0))
    lines = page.page(json.loads(path.read_text()), "rows.json").splitlines()
    assert "## Inference" in lines
    assert "| network | graphjit, ms | openvino |" in lines
    assert "| cnn6 | 2 | 2.00 |" in lines
    assert "| mlp | 2 | 0.50 |" in lines
    assert "| *geometric mean* |  | 1.00 |" in lines
    assert "| *… convolutional* |  | 2.00 |" in lines


def test_command_refuses_what_it_does_not_know(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["speed"])
    assert "received 'speed'" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        command.main(["inference", "--nets", "vgg"])
    assert "received 'vgg'" in capsys.readouterr().err
