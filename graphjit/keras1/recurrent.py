"""Recurrent layers, and the wrappers that repeat a layer along time."""

from __future__ import annotations

from typing import Any, Final, NoReturn

from graphjit import initializers
from graphjit import layers as native
from graphjit.capture.arguments import Unfit
from graphjit.capture.layer import Layer
from graphjit.errors import CaptureError
from graphjit.formats.keras1_layouts import gates_side_by_side
from graphjit.initializers import Initializer
from graphjit.keras1.settings import any_shape, initial, sequence_input
from graphjit.keras1.spelling import Given, Rule, Spelling, spelled
from graphjit.keras1_initializers import PerBlock
from graphjit.ops.recurrent.forget_bias import ForgetBias

__all__ = [
    "GRU",
    "LSTM",
    "Bidirectional",
    "Recurrent",
    "SimpleRNN",
    "TimeDistributed",
]

#: What `consume_less` is called natively; it decides how dropout draws.
_IMPLEMENTATIONS: Final = {"cpu": 0, "mem": 1, "gpu": 2}


def _consume_less(value: Any) -> str:
    if not isinstance(value, str) or value not in _IMPLEMENTATIONS:
        raise Unfit("'cpu', 'mem' or 'gpu'")
    return value


_sequence_arguments, _sequence_rule = sequence_input

#: What every recurrent layer takes by name (Keras 1's class Recurrent).
_TIME: Final = (
    spelled("weights", None, None),
    spelled("return_sequences", "", False),
    spelled("go_backwards", "", False),
    spelled("stateful", "", False),
    spelled("unroll", "", False),
    spelled("consume_less", None, "cpu", _consume_less),
    *_sequence_arguments,
)
_UNITS: Final = spelled("output_dim", "units")
_INITS: Final = (
    spelled("init", None, "glorot_uniform"),
    spelled("inner_init", None, "orthogonal"),
)
_ACTIVATION: Final = spelled("activation", "", "tanh")
_INNER_ACTIVATION: Final = spelled(
    "inner_activation", "recurrent_activation", "hard_sigmoid"
)
_PENALTIES: Final = (
    spelled("W_regularizer", "kernel_regularizer", None),
    spelled("U_regularizer", "recurrent_regularizer", None),
    spelled("b_regularizer", "bias_regularizer", None),
    spelled("dropout_W", "dropout", 0.0),
    spelled("dropout_U", "recurrent_dropout", 0.0),
)


def _matrices(gates: int) -> Rule:
    """How the matrices of so many gates begin, and the arrays they are given."""
    weights = gates_side_by_side(3 * gates)

    def rule(given: Given) -> dict[str, Any]:
        alone = gates > 1 and given["consume_less"] != "gpu"

        def drawn(value: Any) -> Initializer:
            one = initializers.get(initial(value), "init")
            return PerBlock(one, gates) if alone else one

        made: dict[str, Any] = {
            "kernel_initializer": drawn(given["init"]),
            "recurrent_initializer": drawn(given["inner_init"]),
        }
        if given["weights"] is not None:
            made["weights"] = weights(given["weights"])
        return made

    return rule


def _implementation(given: Given) -> dict[str, Any]:
    return {"implementation": _IMPLEMENTATIONS[given["consume_less"]]}


def _forget_bias(given: Given) -> dict[str, Any]:
    value = given["forget_bias_init"]
    if value in ("one", "ones"):
        return {"unit_forget_bias": True}
    if value in ("zero", "zeros"):
        return {"unit_forget_bias": False}
    forget = initializers.get(any_shape(value), "forget_bias_init")
    return {"unit_forget_bias": False, "bias_initializer": ForgetBias(forget)}


SimpleRNN = Spelling(
    "SimpleRNN",
    native.SimpleRNN,
    (_UNITS, *_INITS, _ACTIVATION, *_PENALTIES),
    rules=(_matrices(1), _sequence_rule),
    keywords=_TIME,
)

GRU = Spelling(
    "GRU",
    native.GRU,
    (_UNITS, *_INITS, _ACTIVATION, _INNER_ACTIVATION, *_PENALTIES),
    rules=(_matrices(3), _implementation, _sequence_rule),
    fixed={"reset_after": False},
    keywords=_TIME,
)

LSTM = Spelling(
    "LSTM",
    native.LSTM,
    (
        _UNITS,
        *_INITS,
        spelled("forget_bias_init", None, "one"),
        _ACTIVATION,
        _INNER_ACTIVATION,
        *_PENALTIES,
    ),
    rules=(_matrices(4), _implementation, _forget_bias, _sequence_rule),
    keywords=_TIME,
)


class Recurrent:
    """The base of Keras 1's recurrent layers: it is no layer of its own."""

    def __new__(
        cls,
        weights: Any = None,
        return_sequences: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        consume_less: str = "cpu",
        input_dim: int | None = None,
        input_length: int | None = None,
        **others: Any,
    ) -> NoReturn:
        """Refuse to make one.

        Raises:
            CaptureError: Always.
        """
        del weights, return_sequences, go_backwards, stateful, unroll, consume_less
        del input_dim, input_length, others
        raise CaptureError(
            "Recurrent is an abstract class and no layer",
            hint="use LSTM, GRU or SimpleRNN, which take its arguments too",
        )


# --- wrappers ---------------------------------------------------------------------

TimeDistributed = Spelling(
    "TimeDistributed",
    native.TimeDistributed,
    (spelled("layer", ""),),
)


def _directions(given: Given) -> dict[str, Any]:
    """The arrays of the way forth, then of the way back, each converted."""
    weights = given["weights"]
    if weights is None:
        return {}
    arrays = list(weights)
    half = len(arrays) // 2
    convert = gates_side_by_side(_arrays_of(given["layer"]))
    return {"weights": [*convert(arrays[:half]), *convert(arrays[half:])]}


def _arrays_of(layer: Layer) -> int:
    """How many arrays a layer has in Keras 1, with one for every gate."""
    counts = {native.GRU: 9, native.LSTM: 12}
    return next((n for cls, n in counts.items() if isinstance(layer, cls)), 3)


Bidirectional = Spelling(
    "Bidirectional",
    native.Bidirectional,
    (
        spelled("layer", ""),
        spelled("merge_mode", "", "concat"),
        spelled("weights", None, None),
    ),
    rules=(_directions,),
    # What a masked step gives is what came before it, in both directions.
    fixed={"zeros_where_masked": False},
)
