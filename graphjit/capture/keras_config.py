"""Reading configurations of layers and models as any Keras wrote them.

One tolerant step between a file's data and a layer's constructor: it understands the
wrappings of Keras 2 and 3, leaves out keys that change nothing, and refuses the rest by
name. Nothing is imported by name: what a user wrote comes as `custom_objects`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, cast

from graphjit.capture.declarative import Declarative
from graphjit.capture.keras_calls import functional_form
from graphjit.capture.keras_keys import (
    FIRST_INPUT,
    OF_THE_INPUT,
    OURS,
    effectless,
    read_by_class,
)
from graphjit.capture.keras_origin import NATIVE, Origin
from graphjit.capture.layer import LAYERS, Layer
from graphjit.capture.layer_config import LayerConfig
from graphjit.capture.tracer import SubModel
from graphjit.errors import CaptureError, nearest
from graphjit.narrow import mapping_of, sequence_of

__all__ = ["ConfigReader"]

#: Arguments of these names hold settings that a file gives by name.
_SETTINGS: Final = ("activation", "initializer", "regularizer", "constraint")
#: Arguments that are functions of a user's.
_FUNCTIONS: Final = ("function", "output_shape", "mask")
_DTYPE_POLICIES: Final = ("DTypePolicy", "FloatDTypePolicy", "Policy")


class ConfigReader:
    """Makes the layers of one configuration.

    Args:
        custom_objects: Classes and functions by the names the configuration calls them;
            they come before our own.
        origin: Who wrote it.

    >>> config = {"units": 2, "quantization_config": None}
    >>> ConfigReader().layer({"class_name": "Dense", "config": config}).units
    2
    """

    def __init__(
        self,
        custom_objects: Mapping[str, Any] | None = None,
        origin: Origin = NATIVE,
    ) -> None:
        self._custom: Mapping[str, Any] = dict(custom_objects or {})
        self._origin = origin
        self._shared: dict[int, Layer] = {}

    # --- layers -------------------------------------------------------------------

    def layer(self, entry: Any) -> Layer:
        """The layer that ``{"class_name": …, "config": …}`` describes.

        Raises:
            CaptureError: The class or a key is not known; the message names both.
        """
        found = mapping_of(entry)
        found = None if found is None else _in_our_words(found)
        if found is None or not isinstance(found.get("class_name"), str):
            _refuse_entry(entry)
        shared = found.get("shared_object_id")
        if isinstance(shared, int) and shared in self._shared:
            return self._shared[shared]
        made = self._made(self._named(found), found)
        if isinstance(shared, int):
            self._shared[shared] = made
        return made

    def _made(self, make: Callable[..., Any], entry: Mapping[str, Any]) -> Layer:
        config = _with_input(entry)
        cls = cast("type[Any]", make) if isinstance(make, type) else None
        if cls is not None and issubclass(cls, SubModel):
            return self.model(cls, config)
        given = mapping_of(config)
        if given is None:
            raise CaptureError(f"layer {entry['class_name']!r} has no config")
        if cls is not None and issubclass(cls, Layer):
            return self.of_class(cls, given)
        made = make(**given)
        if not isinstance(made, Layer):
            name, received = entry["class_name"], type(made).__name__
            raise CaptureError(
                f"custom_objects: {name!r}: expected a class of layers, or a function "
                f"that returns a layer, received {received}"
            )
        return made

    def _named(self, entry: Mapping[str, Any]) -> Callable[..., Any]:
        """The class an entry names; a custom one first."""
        custom = self._custom_object(entry)
        if callable(custom):
            return custom
        name = str(entry["class_name"])
        if name in LAYERS:
            return LAYERS.get(name)
        guess = nearest(name, [*self._custom, *LAYERS])
        raise CaptureError(
            f"layer: expected a known class, received {name!r}",
            hint=f"did you mean {guess!r}?"
            if guess
            else f'a class of your own: custom_objects={{"{name}": …}}',
        )

    def _custom_object(self, entry: Mapping[str, Any]) -> Any:
        for key in ("registered_name", "class_name"):
            name = entry.get(key)
            if isinstance(name, str):
                # Keras writes "Package>Name" for what was registered in a package.
                for spelling in (name, name.rpartition(">")[2]):
                    if spelling in self._custom:
                        return self._custom[spelling]
        return None

    def of_class(self, cls: type[Layer], config: Mapping[str, Any]) -> Layer:
        """A layer of `cls` with this configuration, whoever wrote it."""
        title = _title(cls, config)
        if "function_type" in config:
            config = _functions_by_name(title, config)
        checked = _takes_arguments(cls)
        given: dict[str, Any] = {}
        for key, value in config.items():
            if not checked or self._is_read(cls, title, key, value):
                given[key] = self._value(key, value, title)
        if checked:
            given.update(self._origin.unsaid(cls, config))
        return cls.from_config(given)

    def _is_read(self, cls: type[Layer], title: str, key: str, value: Any) -> bool:
        """Whether the class takes the key; one that has no effect is left out."""
        name = LAYERS.canonical(cls.__name__)
        if key in cls.arguments or key in FIRST_INPUT or key in read_by_class(name):
            return True
        harmless = effectless(name, key)
        if harmless is None:
            _refuse_key(cls, title, key)
        if harmless != ("any value",) and value not in harmless:
            wanted = " or ".join(repr(item) for item in harmless if item is not None)
            raise CaptureError(
                f"{title}: {key}: expected {wanted or None}, received {value!r}: "
                "nothing else is supported"
            )
        return False

    # --- values -------------------------------------------------------------------

    def _value(self, key: str, value: Any, title: str) -> Any:
        """What a layer is given for one key."""
        value = _unwrapped(value)
        if key == "dtype":
            return _dtype(value, title)
        if key.endswith("activation"):
            return self._activation(value)
        if key.endswith(_SETTINGS):
            return self._setting(value)
        if key in _FUNCTIONS:
            return self._function(value)
        return self._with_layers(value)

    def _function(self, value: Any) -> Any:
        """A function of a `Lambda`: of the user's by its name, others as they are."""
        found = mapping_of(value)
        name = value if found is None else found.get("config")
        custom = None if found is None else self._custom_object(found)
        if custom is None and isinstance(name, str):
            custom = self._custom.get(name)
        return value if custom is None else custom

    def _activation(self, value: Any) -> Any:
        found = mapping_of(value)
        name = value if found is None else found.get("config")
        if isinstance(name, str):
            if name in self._custom:
                return self._custom[name]
            return self._origin.hard_sigmoid if name == "hard_sigmoid" else value
        return self._setting(value)

    def _setting(self, value: Any) -> Any:
        """An initializer or its like: a custom one made, others as they are."""
        found = mapping_of(value)
        if isinstance(value, str):
            found = {"class_name": value}
        custom = None if found is None else self._custom_object(found)
        if found is None or custom is None:
            return value
        if not isinstance(custom, type):
            return custom
        config = mapping_of(found.get("config")) or {}
        make: Callable[..., Any] = getattr(custom, "from_config", None) or _from_keys(
            cast("type[Any]", custom)
        )
        return make(dict(config))

    def _with_layers(self, value: Any) -> Any:
        """`value` with the configurations of layers in it made into layers."""
        found = mapping_of(value)
        if found is not None and isinstance(found.get("class_name"), str):
            if found["class_name"] in LAYERS or self._custom_object(found) is not None:
                return self.layer(found)
            return value
        items = sequence_of(value)
        return value if items is None else [self._with_layers(item) for item in items]

    # --- models -------------------------------------------------------------------

    def model(self, cls: type[SubModel], config: Any) -> SubModel:
        """A model of `cls` with this configuration."""
        found = mapping_of(config)
        if found is not None and "input_layers" in found:
            config = functional_form(found)
        return cls.rebuilt(config, self.layer)

    def root(self, config: Any) -> Layer:
        """What the outermost dictionary describes; a `LayerConfig` is enough."""
        if not isinstance(config, LayerConfig):
            return self.layer(config)
        cls = config.layer_class
        if issubclass(cls, SubModel):
            return self.model(cls, config)
        return self.of_class(cls, config)


def _in_our_words(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """An entry that Keras reads as a chain, as the layer that it is here."""
    kept = mapping_of(entry.get(OURS)) or {}
    layer = mapping_of(kept.get("layer"))
    return entry if layer is None else {**layer, **_called(entry)}


def _called(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: entry[key] for key in ("name", "inbound_nodes") if key in entry}


def _with_input(entry: Mapping[str, Any]) -> Any:
    """An entry's configuration, with what our texts keep beside it."""
    config, kept = mapping_of(entry.get("config")), mapping_of(entry.get(OURS))
    if config is None or kept is None:
        return entry.get("config")
    told = {key: kept[key] for key in OF_THE_INPUT if key in kept}
    told.update(mapping_of(kept.get("arguments")) or {})
    layers = sequence_of(config.get("layers"))
    if layers is not None and "input_layer" in kept:
        told["layers"] = [kept["input_layer"], *layers]
    return {**config, **told}


def _title(cls: type[Layer], config: Mapping[str, Any]) -> str:
    name = config.get("name")
    return f"{cls.__name__} {name!r}" if name else cls.__name__


def _functions_by_name(title: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A `Lambda` of Keras 2: what a function is stands beside it.

    Raises:
        CaptureError: It is there as code.
    """
    kept = dict(config)
    for key in _FUNCTIONS:
        kind = kept.pop(f"{key}_type", None)
        kept.pop("module" if key == "function" else f"{key}_module", None)
        if kind == "lambda":
            raise CaptureError(
                f"{title}: {key}: the file holds the function as code, which is never "
                "run",
                hint="write it again, register it under a name, and make the layer of "
                "it",
            )
    return kept


def _takes_arguments(cls: type[Layer]) -> bool:
    """Whether the class takes exactly what it declares: a user's may do otherwise."""
    return cls.__init__ is Declarative.__init__ or bool(read_by_class(cls.__name__))


def _from_keys(cls: type[Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda config: cls(**config)


def _unwrapped(value: Any) -> Any:
    """`value` with the forms in which Keras 3 writes tuples and arrays made plain."""
    found = mapping_of(value)
    if found is not None:
        if found.get("class_name") == "__tuple__":
            return _unwrapped(found.get("items"))
        if found.get("class_name") in ("__numpy__", "__tensor__"):
            return (mapping_of(found.get("config")) or {}).get("value")
        # A number that was one of NumPy's: {"type": "ndarray", "value": 0.3}.
        return found["value"] if set(found) == {"type", "value"} else value
    items = sequence_of(value)
    return value if items is None else [_unwrapped(item) for item in items]


def _dtype(value: Any, title: str) -> Any:
    """A dtype's name, also where Keras writes a policy; not one of mixed precision."""
    found = mapping_of(value)
    if found is not None:
        config = mapping_of(found.get("config")) or {}
        if found.get("class_name") not in _DTYPE_POLICIES:
            message = f"dtype: expected one type, received {found.get('class_name')!r}"
            raise CaptureError(f"{title}: {message}")
        value = config.get("name")
    if isinstance(value, str) and value.startswith("mixed_"):
        raise CaptureError(
            f"{title}: dtype: expected one type for weights and computation, received "
            f"{value!r}",
            hint='write "float32" in its place and run the model in bfloat16 later',
        )
    return value


def _refuse_key(cls: type[Layer], title: str, key: str) -> NoReturn:
    modern = cls.renamed.get(key)
    guess = nearest(key, cls.arguments)
    hint = f"did you mean {guess!r}?" if guess else None
    if modern is not None:
        hint = f"it is called {modern!r} from Keras 2 on"
    message = f"{title}: its configuration has the key {key!r}, which is not known"
    raise CaptureError(message, hint=hint)


def _refuse_entry(entry: Any) -> NoReturn:
    found = mapping_of(entry)
    received = list(found) if found is not None else type(entry).__name__
    raise CaptureError(
        'layer: expected a dictionary with "class_name" and "config", received '
        f"{received!r}",
        hint="one that get_config() returned remembers its class; a copy does not"
        if found is not None
        else None,
    )
