"""Sequential and Model with Keras 1's arguments, and its Input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphjit import model_text
from graphjit.capture.input_layer import Input as NativeInput
from graphjit.capture.tensor import Tensor
from graphjit.errors import CaptureError, nearest
from graphjit.keras1.merge import Merge
from graphjit.model import Model as NativeModel
from graphjit.model_text import layer_from_config
from graphjit.sequential import Sequential as NativeSequential
from graphjit.types import Dim

__all__ = [
    "Input",
    "Merge",
    "Model",
    "Sequential",
    "layer_from_config",
    "model_from_json",
    "model_from_yaml",
]


class _Keras1Training(NativeModel):
    """Training as Keras 1 spells it."""

    def compile(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        optimizer: Any,
        loss: Any,
        metrics: Any = None,
        loss_weights: Any = None,
        sample_weight_mode: Any = None,
    ) -> None:
        """Say how to train.

        Args:
            optimizer: A name or an object.
            loss: A name, an object or a function; several for several outputs.
            metrics: Names, objects or functions.
            loss_weights: Factors of the outputs' losses.
            sample_weight_mode: None or "temporal": the weights' own shape decides, one
                per sample or one per time step.
        """
        if sample_weight_mode not in (None, "temporal"):
            raise CaptureError(
                "compile: sample_weight_mode: expected None or 'temporal', received "
                f"{sample_weight_mode!r}"
            )
        super().compile(optimizer, loss, metrics, loss_weights)

    def fit(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        nb_epoch: int = 10,
        verbose: Any = 1,
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        **others: Any,
    ) -> Any:
        """Train on all the data, `nb_epoch` times: the native `fit`, with `epochs`.

        Raises:
            CaptureError: An argument is unknown; Keras 2's `epochs` is one.
        """
        for name in others:
            known = ("nb_epoch", "batch_size", "validation_split", "sample_weight")
            guess = "nb_epoch" if name == "epochs" else nearest(name, known)
            hint = None if guess is None else f"did you mean {guess!r}?"
            if name == "epochs":
                hint = "it is called 'nb_epoch' in Keras 1"
            raise CaptureError(f"fit: unknown argument {name!r}", hint=hint)
        return super().fit(
            x,
            y,
            batch_size,
            nb_epoch,
            verbose,
            callbacks,
            validation_split,
            validation_data,
            shuffle,
            class_weight,
            sample_weight,
            initial_epoch,
        )


class Model(_Keras1Training):
    """A model from input tensors to output tensors.

    Args:
        input: A tensor made by `Input`, or a list of them.
        output: A tensor, or a list of them.
        name: The model's name; "model" by default.
        inputs: `input`, as Keras 2 calls it.
        outputs: `output`, as Keras 2 calls it.

    >>> x = Input((4,))
    >>> Model(input=x, output=x).output_shape
    (None, 4)
    """

    def __init__(
        self,
        input: Any = None,
        output: Any = None,
        name: str | None = None,
        inputs: Any = None,
        outputs: Any = None,
    ) -> None:
        for role, both in (("input", (input, inputs)), ("output", (output, outputs))):
            if sum(value is not None for value in both) != 1:
                raise CaptureError(
                    f"Model: expected one of {role!r} and '{role}s', received "
                    f"{'both' if both[0] is not None else 'neither'}"
                )
        NativeModel.__init__(
            self,
            inputs if input is None else input,
            outputs if output is None else output,
            name,
        )


class Sequential(NativeSequential, _Keras1Training):
    """A chain of layers, trained as Keras 1 spells it.

    Args:
        layers: The layers to begin with.
        name: The model's name; "sequential" by default.
    """


def Input(  # noqa: N802 (the documents' name)
    shape: Sequence[Dim] | None = None,
    batch_shape: Sequence[Dim] | None = None,
    name: str | None = None,
    dtype: Any = None,
) -> Tensor:
    """A tensor that stands for data to come.

    Args:
        shape: Without the batch axis.
        batch_shape: The shape with the batch axis, in place of `shape`.
        name: The input's name.
        dtype: Element type; None for the configured floatx.

    >>> Input((32,)).shape, Input(batch_shape=(8, 10, 4)).shape
    ((None, 32), (8, 10, 4))
    """
    return NativeInput(shape, None, dtype, name, batch_shape)


# --- from text --------------------------------------------------------------------


def _trained_as_keras1(made: NativeModel) -> Any:
    """A native model that was just made, with Keras 1's methods of training."""
    # They add nothing that an object holds.
    cls = Sequential if isinstance(made, NativeSequential) else Model
    object.__setattr__(made, "__class__", cls)
    return made


def model_from_json(
    json_string: str | bytes, custom_objects: Mapping[str, Any] | None = None
) -> Any:
    """The model a JSON text describes, with fresh weights.

    Args:
        json_string: As `to_json` writes it.
        custom_objects: Classes and functions by the names the text calls them.

    >>> from graphjit.keras1 import Dense
    >>> model = model_from_json(Sequential([Dense(2, input_dim=3)]).to_json())
    >>> isinstance(model, Sequential), model.output_shape
    (True, (None, 2))
    """
    return _trained_as_keras1(model_text.model_from_json(json_string, custom_objects))


def model_from_yaml(
    yaml_string: str | bytes, custom_objects: Mapping[str, Any] | None = None
) -> Any:
    """The model a YAML text describes, with fresh weights; see `model_from_json`."""
    return _trained_as_keras1(model_text.model_from_yaml(yaml_string, custom_objects))
