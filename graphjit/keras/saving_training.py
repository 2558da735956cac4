"""How a model is compiled, as Keras 2 and Keras 3 write it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from graphjit import losses, metrics, optimizers
from graphjit.configurable import CallableSettings, Configurable, resolve
from graphjit.errors import CaptureError
from graphjit.keras.notes import Notes
from graphjit.keras.saving_written import Written
from graphjit.narrow import mapping_of, sequence_of

if TYPE_CHECKING:
    from graphjit.model import Model
    from graphjit.training.objective import Objective, Term

__all__ = ["Training", "compile_config", "optimizer_variables"]

#: What each optimizer keeps for every weight, in the order in which Keras adds it:
#: together for one weight, then for the next; and what it begins as.
_SLOTS: Final[Mapping[str, Callable[[Any], list[tuple[float, ...]]]]] = {
    "SGD": lambda o: [(0.0,)] if o.momentum else [],
    "RMSprop": lambda o: [(0.0,)] * (1 + (o.momentum > 0) + o.centered),
    "Adagrad": lambda o: [(o.initial_accumulator_value,)],
    "Adadelta": lambda o: [(0.0, 0.0)],
    "Adam": lambda o: [(0.0, 0.0), *([(0.0,)] * o.amsgrad)],
    "AdamW": lambda o: [(0.0, 0.0), *([(0.0,)] * o.amsgrad)],
    "Adamax": lambda o: [(0.0, 0.0)],
    "Nadam": lambda o: [(0.0, 0.0)],
}
#: Losses that Keras has no metric of the same name for.
_METRIC_NAMES: Final[Mapping[str, str]] = {"LogCosh": "LogCoshError"}


@dataclass(frozen=True, slots=True)
class Training:
    """How a model is compiled.

    Attributes:
        keras_2: The training_config of an HDF5 file.
        keras_3: The compile_config of a `.keras` file.
    """

    keras_2: dict[str, Any]
    keras_3: dict[str, Any]


def compile_config(model: Model, notes: Notes) -> Training | None:
    """How a model is compiled; None where it is not, or Keras cannot say it.

    What is left out is added to `notes`.
    """
    trainer = model.trainer
    if trainer is None:
        return None
    optimizer = _optimizer(trainer.optimizer, notes)
    if optimizer is None:
        return None
    try:
        judged = _judged(trainer.objective, notes)
    except CaptureError as error:
        notes.add(f"not compiled in the file: {error.message}")
        return None
    notes.add("the state of the optimizer is not written: it begins anew")
    placed = {
        key: _everywhere(value, "keras.losses" if key == "loss" else "keras.metrics")
        for key, value in judged.items()
    }
    return Training(
        {**judged, "optimizer_config": optimizer},
        {"optimizer": _placed(optimizer, "keras.optimizers"), **placed},
    )


def _judged(objective: Objective, notes: Notes) -> dict[str, Any]:
    """Losses, their factors and metrics, as arguments of `compile`.

    Raises:
        CaptureError: A loss is a function.
    """
    outputs = range(len(objective.outputs))
    several = len(outputs) > 1
    found: dict[int, Any] = dict.fromkeys(outputs)
    factors = dict.fromkeys(outputs, 1.0)
    for term, factor in zip(objective.losses, objective.factors, strict=True):
        found[term.output] = _loss(term.values)
        factors[term.output] = factor
    metrics_: dict[bool, list[list[Any]]] = {
        weighted: [[] for _ in outputs] for weighted in (False, True)
    }
    for term in objective.metrics:
        metric = _metric(term, notes, several)
        if metric is not None:
            metrics_[term.weighted][term.output].append(metric)

    def listed(weighted: bool) -> Any:
        each = metrics_[weighted]
        if not any(each):
            return None
        return each if several else each[0]

    losses_, weights = list(found.values()), list(factors.values())
    return {
        "loss": losses_ if several else losses_[0],
        "loss_weights": weights if any(w != 1 for w in weights) else None,
        "metrics": listed(weighted=False),
        "weighted_metrics": listed(weighted=True),
    }


# --- optimizers -------------------------------------------------------------------


def _found(given: Any) -> optimizers.Optimizer | None:
    """The optimizer that was given; None for a transformation of optax's own."""
    if callable(getattr(given, "update", None)):
        return None
    return resolve(optimizers.OPTIMIZERS, given, "optimizer")


def _optimizer(given: Any, notes: Notes) -> dict[str, Any] | None:
    found = _found(given)
    if found is None:
        notes.add("not compiled in the file: its optimizer is optax's own")
        return None
    config: dict[str, Any] = {}
    for name in type(found).__dataclass_fields__:
        if not name.startswith("config_"):
            config[name] = getattr(found, name)
    if callable(found.learning_rate):
        config["learning_rate"] = _first_rate(found)
        notes.add(
            "the learning rate is a function of the step, which no file holds: it "
            f"stays at {config['learning_rate']}"
        )
    name = type(found).__name__
    return {"class_name": name, "config": {"name": name.lower(), **config}}


def _first_rate(found: optimizers.Optimizer) -> float:
    rate = found.learning_rate
    return float(rate(0)) if callable(rate) else rate


def optimizer_variables(
    model: Model, written: Written, shared: frozenset[object]
) -> dict[str, Any] | None:
    """The variables of a fresh optimizer, by number as Keras has them in a file."""
    trainer = model.trainer
    found = None if trainer is None else _found(trainer.optimizer)
    if found is None:
        return None
    variables: list[Any] = [np.int32(0), np.float32(_first_rate(found))]
    weights = list(_trained(written, shared, set()))
    for starts in _SLOTS[type(found).__name__](found):
        for weight in weights:
            variables += [np.full_like(weight, start) for start in starts]
    if isinstance(found, optimizers.Nadam):
        variables.append(np.float32(1.0))  # the product of its momentums
    return {str(at): variable for at, variable in enumerate(variables)}


def _trained(
    written: Written, shared: frozenset[object], seen: set[object]
) -> Iterator[Any]:
    """The trained weights in Keras's order, those of shared layers once."""
    if written.source in seen:
        return
    if written.source in shared:
        seen.add(written.source)
    for weight in written.weights:
        if weight.trained:
            yield weight.array
    for part in written.parts():
        yield from _trained(part, shared, seen)


# --- losses and metrics -----------------------------------------------------------


def _loss(found: Configurable) -> dict[str, Any]:
    if isinstance(found, CallableSettings):
        raise CaptureError("its loss is a function of the user's, which no file holds")
    return _setting(found)


def _metric(term: Term, notes: Notes, several: bool) -> Any:
    found = term.values
    name = type(found).__name__
    if isinstance(found, metrics.Accuracy):
        return "accuracy"  # the one that fits the output; Keras's class means another
    table = metrics.METRICS if isinstance(found, metrics.Metric) else losses.LOSSES
    if isinstance(found, CallableSettings) or name not in table or name == "Huber":
        notes.add(f"the metric {term.label!r} is left out: Keras has none such")
        return None
    made = _setting(found)
    if isinstance(found, losses.Loss):
        made["class_name"] = _METRIC_NAMES.get(name, name)
    if not several:
        made["config"]["name"] = term.label
    return made


def _setting(found: Configurable) -> dict[str, Any]:
    return {"class_name": type(found).__name__, "config": found.get_config()}


def _everywhere(value: Any, module: str) -> Any:
    """Settings in lists, with where Keras 3 has their classes."""
    found, items = mapping_of(value), sequence_of(value)
    if found is not None:
        return _placed(found, module)
    return value if items is None else [_everywhere(item, module) for item in items]


def _placed(found: Mapping[str, Any], module: str) -> dict[str, Any]:
    return {"module": module, **found, "registered_name": None}
