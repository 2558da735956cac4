"""A layer's arguments as Keras has them, and those that it has not.

What no Keras has an argument for is written otherwise (see `saving_compositions`), left
out where it changes no output, or refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from graphjit.activations import ACTIVATIONS
from graphjit.capture.keras_keys import FIRST_INPUT
from graphjit.capture.layer import LAYERS, Layer
from graphjit.initializers import INITIALIZERS
from graphjit.keras.saving_gates import NEW, OLD
from graphjit.keras.saving_operations import operation_problems
from graphjit.narrow import mapping_of

__all__ = [
    "KERAS_2_ONLY",
    "OF_APPLICATIONS",
    "Arguments",
    "arguments_of",
    "class_problems",
]

#: Layers here that no Keras has from Keras 2 on.
NOT_OF_KERAS: Final = frozenset(
    "Cosine Highway MaxoutDense ParametricSoftplus SReLU".split()
)
#: Layers that Keras 2 has and Keras 3 has not.
KERAS_2_ONLY: Final = frozenset("LocallyConnected1D LocallyConnected2D".split())

#: Layers that stand beside a network of Keras 3, and not among its layers: where.
OF_APPLICATIONS: Final[Mapping[str, str]] = {
    "CustomScaleLayer": "keras.src.applications.inception_resnet_v2",
    "LayerScale": "keras.src.applications.convnext",
    "StochasticDepth": "keras.src.applications.convnext",
}

#: Arguments of ours that change nothing of what a model computes once it is trained.
_OF_TRAINING: Final = frozenset("drop_mask frozen masked".split())
#: Initializers of ours, and what Keras has that is nearest.
_NEAREST: Final[Mapping[str, str]] = {"Keras1Scaling": "VarianceScaling"}


@dataclass(slots=True)
class Arguments:
    """What becomes of a layer's configuration.

    Attributes:
        config: The arguments that are left, as Keras has them.
        problems: Why Keras cannot say the rest.
        notes: What is not kept, and changes no output.
        of_keras_3: Whether only Keras 3 reads the names as they are meant.
    """

    config: dict[str, Any]
    problems: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])
    of_keras_3: bool = False


def arguments_of(layer: Layer, config: Mapping[str, Any], masks: bool) -> Arguments:
    """The arguments of a layer for Keras.

    Args:
        layer: The layer.
        config: As its `get_config` has it.
        masks: Whether there may be masks in the model.
    """
    kept = {key: value for key, value in config.items() if key not in FIRST_INPUT}
    if "input_dim" in type(layer).arguments:  # an Embedding's is an argument
        kept["input_dim"] = config["input_dim"]
    made = Arguments(kept)
    if type(layer).__name__ == "Operation":
        made.problems += operation_problems(config)
        made.of_keras_3 = True
        return made
    _ours(layer, made, masks)
    for key, value in list(made.config.items()):
        if key.endswith("activation"):
            _activation(key, value, made)
        elif key.endswith("initializer"):
            made.config[key] = _initializer(key, value, made)
        elif key.endswith(("regularizer", "constraint")) and isinstance(value, str):
            made.config[key] = None
            made.notes.append(f"{key} is a function, which no file holds: left out")
    return made


def _ours(layer: Layer, made: Arguments, masks: bool) -> None:
    """Arguments that no Keras has."""
    config = made.config
    if config.pop("mode", 0) != 0 and type(layer).__name__ == "BatchNormalization":
        made.problems.append(
            f"mode {getattr(layer, 'mode', None)} of Keras 1 normalizes a sample by "
            "itself, or by its batch always, which later ones do not"
        )
    if config.pop("recurrent_padding", "same") != "same":
        made.problems.append(
            "its state is padded as Theano did it for kernels of even sizes, which "
            "Keras has no argument for"
        )
    if config.get("interpolation") == "bilinear_corners":
        made.problems.append(
            "it interpolates between corners of pixels, as Keras 2 did outside of "
            "TensorFlow; later ones do so between centres"
        )
    if config.pop("reverse_state_order", False):
        made.problems.append(
            "the states of its last cell come first, as in Keras before 2.2.3"
        )
    for key in (*_OF_TRAINING, "strided_dilation"):
        config.pop(key, None)
    if config.pop("zeros_where_masked", True) is False and masks:
        inner = getattr(layer, "layer", None)
        if getattr(inner, "return_sequences", False):
            made.problems.append(
                "where steps are masked it repeats the output before, as Keras before "
                "tf.keras did; later ones give zeros there"
            )
    if type(layer).__name__ in KERAS_2_ONLY:
        config["implementation"] = 1  # the others want their weights laid out otherwise
    if type(layer).__name__ in OF_APPLICATIONS:
        made.of_keras_3 = True  # found by its module, which Keras 2 does not look at
    if type(layer).__name__ == "EinsumDense":
        config["output_shape"] = _whole_shape(layer)
    if type(layer).__name__ == "RMSNormalization":
        _last_axes(layer, made)
    if type(layer).__name__ == "Embedding":
        config.pop("input_length", None)
        if config.pop("dropout", 0.0):
            made.notes.append("dropout of whole rows is of Keras 1: left out")


def _whole_shape(layer: Any) -> Any:
    """An EinsumDense's output shape with its free dims, where they are known.

    Keras makes the bias of what is said here.
    """
    said: tuple[int | None, ...] = layer.argument("output_shape")
    if not layer.calls:
        return list(said)
    found = layer.calls[0].outputs[0].type.shape[1:]
    pairs = zip(said, found, strict=False)
    return [d if d is not None else f if isinstance(f, int) else None for d, f in pairs]


def _last_axes(layer: Any, made: Arguments) -> None:
    """Keras's RMSNormalization scales along the last axes, in their order."""
    if not layer.calls:
        return
    rank = layer.calls[0].inputs[0].type.rank
    given = (layer.axis,) if isinstance(layer.axis, int) else layer.axis
    axes = sorted({axis % rank for axis in given})
    if axes != list(range(rank - len(axes), rank)):
        made.problems.append("Keras's RMSNormalization takes the last axes alone")
    made.config["axis"] = [axis - rank for axis in axes]


def _activation(key: str, value: Any, made: Arguments) -> None:
    if value == NEW:
        made.config[key] = OLD  # the name that Keras 3 has for it
        made.of_keras_3 = True
    elif isinstance(value, str) and value not in ACTIVATIONS:
        made.problems.append(f"{key}: {value!r} is a function, which no file holds")


def _initializer(key: str, value: Any, made: Arguments) -> Any:
    """The initializer, or the nearest that Keras has: weights have values already."""
    found = mapping_of(value)
    if isinstance(value, str) and value not in INITIALIZERS:
        made.notes.append(f"{key} is a function, which no file holds: written as zeros")
        return "zeros"
    if found is None:
        return value
    config = dict(mapping_of(found.get("config")) or {})
    name = str(found.get("class_name"))
    if name == "PerBlock":
        made.notes.append(f"{key}: Keras draws the gates together, not each by itself")
        return _initializer(key, config["initializer"], made)
    if name in _NEAREST:
        if config.get("distribution") == "untruncated_normal":
            config["distribution"] = "untruncated_normal"
        made.notes.append(f"{key}: Keras counts units otherwise than Keras 1 did")
        return {"class_name": _NEAREST[name], "config": config}
    known = name in INITIALIZERS
    if known and INITIALIZERS.get(name).__module__.startswith("graphjit."):
        return value
    made.notes.append(f"{key}: {name!r} is not of Keras: written as zeros")
    return "zeros"


def class_problems(layer: Layer, keras_2: bool) -> Iterator[str]:
    """Why Keras has no such layer; none where it has.

    Args:
        layer: The layer.
        keras_2: Whether the file may be one for Keras 2 alone.
    """
    name = type(layer).__name__
    # A stand-in of Keras 1's spelling bears the name of its native class.
    known = layer.is_registered() and name in LAYERS
    if not known or not LAYERS.get(name).__module__.startswith("graphjit."):
        yield f"{name} is a class of the user's: Keras would need its code"
    elif name == "Lambda":
        yield "its function is code, which no file holds"
    elif name in NOT_OF_KERAS:
        yield f"Keras has no {name} since Keras 1"
    elif name in KERAS_2_ONLY and not keras_2:
        yield f"Keras 3 has no {name}; HDF5 (.h5) in Keras 2's form can hold it"
