"""How a model in a file was compiled, as far as it can be here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Final

from graphjit import losses, metrics
from graphjit.errors import CaptureError, GraphJitError
from graphjit.formats.plain import shown
from graphjit.keras.notes import Notes
from graphjit.model import Model
from graphjit.narrow import mapping_of, sequence_of
from graphjit.optimizers import OPTIMIZERS, Optimizer
from graphjit.training.decaying import Decaying

__all__ = ["compiled_as"]

#: Settings of an optimizer that change what a step does, at the values at which they
#: do not. What is none of these, and not ours either, says how it is computed.
_EFFECTLESS: Final[Mapping[str, tuple[Any, ...]]] = {
    "ema_overwrite_frequency": (None,),
    "gradient_accumulation_steps": (None, 1),
    "loss_scale_factor": (None,),
    "schedule_decay": (None, 0.004),
    "use_ema": (None, False),
}
#: Metrics that wrap a function, and metrics that only the loss has.
_WRAPPERS: Final = ("MeanMetricWrapper", "SumOverBatchSizeMetricWrapper")


def compiled_as(
    model: Model, training: Mapping[str, Any], custom: Mapping[str, Any], notes: Notes
) -> None:
    """Compile a model as its file says; what cannot be is left out, and said.

    Args:
        model: The model.
        training: Keras 1 and 2's training_config, or Keras 3's compile_config.
        custom: What the user supplied, by name.
        notes: What is left out goes there.
    """
    try:
        optimizer = _optimizer(
            training.get("optimizer_config", training.get("optimizer")), notes
        )
        loss = _each(training.get("loss"), _loss(custom))
        weights = training.get("loss_weights")
        kept = _metrics(training.get("metrics"), custom, notes)
        weighted = _metrics(training.get("weighted_metrics"), custom, notes)
        if loss is None:
            notes.add("the model was compiled without a loss: it is not compiled here")
            return
        model.compile(optimizer, loss, kept or None, weights, weighted or None)
    except GraphJitError as error:
        notes.add(f"not compiled as the file says: {error.message}")


# --- optimizers -----------------------------------------------------------------


def _optimizer(written: Any, notes: Notes) -> Optimizer:
    found = mapping_of(written)
    name = written if found is None else found.get("class_name")
    if not isinstance(name, str) or name not in OPTIMIZERS:
        raise CaptureError(f"there is no optimizer {name!r} here")
    cls = OPTIMIZERS.get(name)
    config = {} if found is None else dict(mapping_of(found.get("config")) or {})
    fields = {field.name for field in dataclasses.fields(cls)}
    rate = config.pop("lr", config.pop("learning_rate", None))
    decay = config.pop("decay", 0.0)
    given = {k: v for k, v in config.items() if k in fields and v is not None}
    if rate is not None:
        given["learning_rate"] = _rate(rate, decay, name, notes)
    for key, value in config.items():
        if key in _EFFECTLESS and value not in _EFFECTLESS[key]:
            notes.add(f"optimizer {name}: {key}={value!r} has no counterpart here")
    if given.get("weight_decay") in (0, 0.0, False):
        del given["weight_decay"]
    return cls(**given)


def _rate(rate: Any, decay: Any, name: str, notes: Notes) -> Any:
    schedule = mapping_of(rate)
    if schedule is not None:
        config = mapping_of(schedule.get("config")) or {}
        first = config.get("initial_learning_rate", config.get("value"))
        if not isinstance(first, (int, float)):
            raise CaptureError(f"optimizer {name}: a schedule without a first rate")
        notes.add(
            f"optimizer {name}: the schedule {schedule.get('class_name')!r} of its "
            f"learning rate is not read: it stays at {first}"
        )
        return float(first)
    if not isinstance(rate, (int, float)):
        raise CaptureError(f"optimizer {name}: a learning rate of {rate!r}")
    if not isinstance(decay, (int, float)) or not decay:
        return float(rate)
    return Decaying(float(rate), float(decay))


# --- losses and metrics ---------------------------------------------------------


def _each(written: Any, read: Callable[[Any], Any]) -> Any:
    """One of them read; or several, in lists or by output."""
    found = mapping_of(written)
    if found is not None and "class_name" not in found:
        return {name: _each(item, read) for name, item in found.items()}
    items = sequence_of(written)
    if items is not None:
        return [_each(item, read) for item in items]
    return None if written is None else read(written)


def _loss(custom: Mapping[str, Any]) -> Callable[[Any], Any]:
    def read(written: Any) -> Any:
        return losses.get(_named(written, custom))

    return read


def _named(written: Any, custom: Mapping[str, Any]) -> Any:
    """What a name or a class with its settings means: the user's own first."""
    found = mapping_of(written)
    name = written if found is None else found.get("class_name")
    config = {} if found is None else mapping_of(found.get("config")) or {}
    if name in _WRAPPERS:
        return _named(config.get("fn"), custom)
    if name == "function" and found is not None:
        return _named(found.get("config"), custom)
    if isinstance(name, str) and name in custom:
        return custom[name]
    if found is None:
        return written
    if not isinstance(name, str):
        raise CaptureError(f"a loss or metric: expected a name, received {shown(name)}")
    kept = {k: v for k, v in config.items() if v is not None and k != "fn"}
    return {"class_name": name, "config": kept}


def _metrics(written: Any, custom: Mapping[str, Any], notes: Notes) -> Any:
    """The metrics that are there; the others are said."""

    def read(item: Any) -> list[Any]:
        found = _named(item, custom)
        if isinstance(found, str) and found in ("acc", "accuracy"):
            return [found]
        try:
            return [metrics.get(found)]
        except GraphJitError as error:
            notes.add(f"a metric is left out: {error.message}")
            return []

    def walk(value: Any) -> Any:
        found = mapping_of(value)
        if found is not None and "class_name" not in found:
            return {name: _listed(walk(item)) for name, item in found.items()}
        items = sequence_of(value)
        if items is None:
            return [] if value is None else read(value)
        nested = [item for item in items if sequence_of(item) is not None]
        made = [walk(item) for item in items]
        if nested:
            return made[0] if len(made) == 1 else made
        return [metric for several in made for metric in several]

    return walk(written)


def _listed(value: Any) -> list[Any]:
    return sequence_of(value) or [value]
