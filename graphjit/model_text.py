"""Models as text: `to_json`, `to_yaml`, and what reads them back.

The text holds the architecture and no weights, in the form of Keras 2.15, which Keras 3
reads too. Texts of Keras 1, 2 and 3 are read as far as the layers here have the
arguments; those of Keras 1 that have other names are for `gj.keras.load_model`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from graphjit.capture.keras_config import ConfigReader
from graphjit.capture.keras_origin import Origin, origin_of
from graphjit.capture.layer import Layer
from graphjit.capture.layer_config import LayerConfig
from graphjit.capture.tracer import SubModel
from graphjit.errors import CaptureError, FormatError
from graphjit.formats import model_text
from graphjit.formats.keras_form import keras_form
from graphjit.formats.limits import DEFAULT_LIMITS, Limits
from graphjit.narrow import mapping_of

if TYPE_CHECKING:
    from graphjit.model import Model

__all__ = [
    "WithText",
    "layer_from_config",
    "model_from_config",
    "model_from_json",
    "model_from_yaml",
]

#: A text that says nothing of its writer is from before Keras said it.
_BEFORE_VERSIONS = Origin(1, (1,))


class WithText:
    """The methods of `Model` that write it as text: a base of `Model` alone."""

    def to_json(self, **options: Any) -> str:
        """The architecture as JSON, without weights, in Keras 2's form.

        Args:
            options: Those of `json.dumps`, such as ``indent=2``.

        Raises:
            CaptureError: An argument is a Python object that no text can hold.

        >>> import graphjit as gj
        >>> x = gj.Input((4,))
        >>> text = gj.Model(x, gj.layers.Dense(2)(x)).to_json()
        >>> gj.model_from_json(text).output_shape
        (None, 2)
        """
        return model_text.json_text(self._text_form(), **options)

    def to_yaml(self, **options: Any) -> str:
        """The architecture as YAML, without weights; it holds what `to_json` holds.

        Args:
            options: Those of `yaml.safe_dump`, such as ``indent=4``.

        Raises:
            CaptureError: An argument is a Python object that no text can hold.
            ImportError: PyYAML is not installed.
        """
        return model_text.yaml_text(self._text_form(), **options)

    def _text_form(self) -> dict[str, Any]:
        model = cast("Model", self)
        return keras_form(model.written_class, model.get_config())


def model_from_json(
    text: str | bytes,
    custom_objects: Mapping[str, Any] | None = None,
    *,
    limits: Limits | None = None,
) -> Model:
    """The model a JSON text describes, with fresh weights.

    Args:
        text: As `to_json` writes it, or Keras.
        custom_objects: Classes and functions that are not ours, by the names the text
            calls them: layers, activations, initializers, … They hold for this call.
        limits: What a text may ask of the reader; None for the defaults.

    Raises:
        FormatError: It is not JSON, or describes no model.
        CaptureError: A class or an argument is not known.
    """
    data = model_text.read_json(text, limits or DEFAULT_LIMITS)
    return _from_text(data, "JSON", custom_objects)


def model_from_yaml(
    text: str | bytes,
    custom_objects: Mapping[str, Any] | None = None,
    *,
    limits: Limits | None = None,
) -> Model:
    """The model a YAML text describes, with fresh weights; see `model_from_json`.

    Only plain YAML is read, and ``!!python/tuple``, which Keras 1 wrote.

    Raises:
        FormatError: It is not YAML, has tags that name code, or describes no model.
        CaptureError: A class or an argument is not known.
        ImportError: PyYAML is not installed.
    """
    data = model_text.read_yaml(text, limits or DEFAULT_LIMITS)
    return _from_text(data, "YAML", custom_objects)


def model_from_config(
    config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
) -> Model:
    """The model of a configuration, with fresh weights.

    Args:
        config: What `Model.get_config` returned; or a dictionary of it and its class,
            ``{"class_name": "Sequential", "config": …}``.
        custom_objects: As for `model_from_json`.

    Raises:
        CaptureError: It is no model's, or a class or an argument is not known.
    """
    made = layer_from_config(config, custom_objects)
    if not isinstance(made, SubModel):
        raise CaptureError(
            f"model_from_config: expected a model, received a {type(made).__name__}",
            hint="layer_from_config makes layers",
        )
    return cast("Model", made)


def layer_from_config(
    config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
) -> Layer:
    """The layer (or model) of a configuration, with no weights yet.

    Args:
        config: What a layer's `get_config` returned, which remembers its class; or
            ``{"class_name": "Dense", "config": {"units": 2}}``.
        custom_objects: As for `model_from_json`.

    Raises:
        CaptureError: It says no class, or the class or an argument is not known.

    >>> import graphjit as gj
    >>> layer = gj.layers.Dense(3, activation="relu", name="top")
    >>> layer_from_config(layer.get_config())
    Dense(name='top', units=3)
    """
    origin = origin_of(config) if not isinstance(config, LayerConfig) else Origin()
    return ConfigReader(custom_objects, origin).root(config)


def _from_text(data: Any, kind: str, custom_objects: Mapping[str, Any] | None) -> Model:
    root = mapping_of(data)
    if root is None or "class_name" not in root or "config" not in root:
        received = list(root) if root is not None else type(data).__name__
        raise FormatError(
            f'{kind}: expected an object with "class_name" and "config", received '
            f"{received!r}",
            hint="a text of get_config() alone does not say its class: write to_json()",
        )
    made = ConfigReader(custom_objects, origin_of(root, _BEFORE_VERSIONS)).root(root)
    if not isinstance(made, SubModel):
        message = f"expected a model, received a {type(made).__name__}"
        raise FormatError(f"{kind}: {message}")
    return cast("Model", made)
