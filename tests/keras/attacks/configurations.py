"""Attacks by what a configuration can say, in JSON or YAML, inside of HDF5 or alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.keras.attacks.base import Attack, chain, dense, good_h5, trained_h5

__all__ = ["ATTACKS"]

_CODE: Final = ["4wEAAAABAAAAAgAAAA==", None, None]
_BOMB: Final = "limit elements"


def _file(root: Any) -> Callable[[Path], Path]:
    """A whole model of that configuration."""
    return lambda folder: good_h5(folder / "attack.h5", root)


def _text(text: str, name: str = "attack.json") -> Callable[[Path], Path]:
    """A configuration alone."""

    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(text.encode(errors="surrogatepass"))
        return path

    return make


def _yaml(text: str) -> Callable[[Path], Path]:
    return _text(text, "attack.yaml")


def _layer(class_name: str, shape: Any = (None, 3), **config: Any) -> dict[str, Any]:
    return chain(_entry(class_name, **config), shape=shape)


def _entry(class_name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": {"name": "l", **config}}


def _bomb(class_name: str, shape: Any, **config: Any) -> Attack:
    return Attack(_file(_layer(class_name, shape, **config)), _BOMB)


def _lambda(**more: Any) -> dict[str, Any]:
    config = {"function": _CODE, "function_type": "lambda", "module": "os", **more}
    return _layer("Lambda", **config)


def _said(text: str) -> str:
    """The good configuration with something put in the place of a number."""
    return json.dumps(chain(dense())).replace('"units": 2', text)


# --- depth ----------------------------------------------------------------------


def _wrapped(depth: int) -> dict[str, Any]:
    entry = dense()
    for level in range(depth):
        config = {"name": f"w{level}", "layer": entry}
        entry = {"class_name": "TimeDistributed", "config": config}
    return chain(entry)


def _functional(
    name: str, inner: dict[str, Any], calls: int, shape: Any
) -> dict[str, Any]:
    """A model that calls a layer or model a few times, one after another."""
    start = _entry("InputLayer", batch_input_shape=shape, dtype="float32")
    start["config"]["name"] = f"{name}_in"
    first = 1 if inner["class_name"] == "Functional" else 0
    references = [[[f"{name}_in", 0, 0, {}]]]
    references += [[[inner["name"], first + at, 0, {}]] for at in range(calls - 1)]
    layers = [
        {**start, "name": f"{name}_in", "inbound_nodes": []},
        {**inner, "inbound_nodes": references},
    ]
    config = {
        "name": name,
        "layers": layers,
        "input_layers": [[f"{name}_in", 0, 0]],
        "output_layers": [[inner["name"], first + calls - 1, 0]],
    }
    return {"class_name": "Functional", "name": name, "config": config}


def _laughs(depth: int, calls: int) -> dict[str, Any]:
    """Models in models, each called a few times: calls ** depth layers."""
    model = {**_entry("Activation", activation="relu"), "name": "l"}
    for level in range(depth):
        model = _functional(f"m{level}", model, calls, [None, 3])
    return {**model, "keras_version": "2.4.0", "backend": "tensorflow"}


def _long_name(folder: Path) -> Path:
    return good_h5(folder / "attack.h5", chain(dense("x" * 2**20)))


def _many_unknown(folder: Path) -> Path:
    entries = [_entry(f"Unknown{at}", name=f"u{at}") for at in range(3000)]
    return good_h5(folder / "attack.h5", chain(*entries))


_CONV: Final = {"filters": 2, "kernel_size": [1, 1], "use_bias": False}
_IMAGE: Final = (None, 8, 8, 3)

ATTACKS: Final[dict[str, Attack]] = {
    # --- code -------------------------------------------------------------------
    "code in a Lambda": Attack(_file(_lambda()), "Lambda 'l': a function held as code"),
    "code for a shape": Attack(
        _file(
            _lambda(
                function="f",
                function_type="function",
                output_shape=_CODE,
                output_shape_type="lambda",
            )
        ),
        "Lambda 'l': a function held as code",
    ),
    "a function of a module": Attack(
        _file(
            _layer("Lambda", function="system", function_type="function", module="os")
        ),
        "function 'system': of",
    ),
    "code in a Merge": Attack(
        _file(
            {
                **chain(
                    _entry("Merge", mode=_CODE, mode_type="lambda", layers=[dense()])
                ),
                "keras_version": "1.2.2",
            }
        ),
        "Merge 'l': a function held as code",
    ),
    "a class with dots": Attack(_file(_layer("os.system")), "os.system: 'l'"),
    "a class with a path": Attack(_file(_layer("/bin/sh")), "/bin/sh: 'l'"),
    "a class of Python": Attack(_file(_layer("__import__")), "__import__: 'l'"),
    "an attribute for a class": Attack(_file(_layer("__class__")), "__class__: 'l'"),
    "an activation of Python": Attack(_file(chain(dense(activation="eval"))), "'eval'"),
    "an activation by its path": Attack(
        _file(chain(dense(activation="os.system"))), "'os.system'"
    ),
    "an initializer of Python": Attack(
        _file(
            chain(
                dense(
                    kernel_initializer={
                        "class_name": "subprocess.Popen",
                        "config": {"args": "true"},
                    }
                )
            )
        ),
        None,
    ),
    "an argument called __class__": Attack(
        _file(chain(dense(__class__="x"))), "has the key '__class__'"
    ),
    "an argument called self": Attack(
        _file(chain(dense(self=1))), "has the key 'self'"
    ),
    "a loss of Python": Attack(
        trained_h5({"loss": "os.system", "optimizer_config": {"class_name": "SGD"}}),
        None,
    ),
    "an optimizer of Python": Attack(
        trained_h5({"loss": "mse", "optimizer_config": {"class_name": "os.system"}}),
        None,
    ),
    "code for a loss": Attack(
        trained_h5({"loss": {"class_name": "__lambda__", "config": {"value": "4wEA"}}}),
        None,
    ),
    # --- files ------------------------------------------------------------------
    "a vocabulary's path": Attack(
        _file(_layer("TextVectorization", vocabulary="/etc/passwd")),
        "TextVectorization: 'l'",
    ),
    "a vocabulary's address": Attack(
        _file(_layer("StringLookup", vocabulary="http://localhost:9/words")),
        "StringLookup: 'l'",
    ),
    "numbers to look up in a file": Attack(
        _file(_layer("IntegerLookup", vocabulary="file:///etc/passwd")),
        "IntegerLookup: 'l'",
    ),
    "a hash of a file": Attack(
        _file(_layer("Hashing", num_bins=3, vocabulary="/etc/passwd")), "Hashing: 'l'"
    ),
    "a vocabulary where none is": Attack(
        _file(chain(dense(vocabulary="/etc/passwd"))), "has the key 'vocabulary'"
    ),
    "a model of TensorFlow by its path": Attack(
        _file(_layer("TFSMLayer", filepath="/etc")), "TFSMLayer: 'l'"
    ),
    # --- sizes ------------------------------------------------------------------
    "bomb of RepeatVector": _bomb("RepeatVector", (None, 2**16), n=2**20),
    "bomb of Reshape": _bomb("Reshape", (None, 2**40), target_shape=[2**20, 2**20]),
    "bomb of UpSampling2D": _bomb("UpSampling2D", _IMAGE, size=[2**20, 2**20]),
    "bomb of ZeroPadding2D": _bomb("ZeroPadding2D", _IMAGE, padding=[2**20, 2**20]),
    "bomb of Dense": Attack(
        _file(_layer("Dense", (None, 2**16), units=2**16)),
        r"declares 4294967296 \(limit elements",
    ),
    "bomb of Embedding": Attack(
        _file(_layer("Embedding", (None, 3), input_dim=2**30, output_dim=2**30)), _BOMB
    ),
    "bomb of Conv2D": Attack(
        _file(
            _layer(
                "Conv2D",
                _IMAGE,
                **{**_CONV, "kernel_size": [2**20, 2**20]},
                padding="same",
            )
        ),
        _BOMB,
    ),
    "bomb of a transposed Conv2D": _bomb(
        "Conv2DTranspose", _IMAGE, **{**_CONV, "strides": [2**20, 2**20]}
    ),
    "bomb of SeparableConv2D": Attack(
        _file(_layer("SeparableConv2D", _IMAGE, **_CONV, depth_multiplier=2**40)), _BOMB
    ),
    "bomb of LocallyConnected2D": Attack(
        _file(
            _layer(
                "LocallyConnected2D",
                (None, 2**16, 2**16, 3),
                **{**_CONV, "kernel_size": [3, 3]},
            )
        ),
        _BOMB,
    ),
    "bomb of LSTM": Attack(_file(_layer("LSTM", (None, 3, 3), units=2**40)), _BOMB),
    "bomb of the input": Attack(_file(chain(dense(), shape=(None, 2**62))), _BOMB),
    "bomb of tile": _bomb(
        "Operation", (None, 3), function="tile", arguments={"repeats": [1, 2**40]}
    ),
    "bomb of pad": _bomb(
        "Operation",
        (None, 3),
        function="pad",
        arguments={"pad_width": [[0, 2**40]] * 2},
    ),
    "bomb of unstack": Attack(
        _file(
            _layer(
                "Operation", (None, 2**30), function="unstack", arguments={"axis": 1}
            )
        ),
        "1073741824 pieces, at most 4096",
    ),
    "bomb of split": Attack(
        _file(
            _layer(
                "Operation",
                (None, 2**30),
                function="split",
                arguments={"indices_or_sections": 2**30, "axis": 1},
            )
        ),
        "1073741824 pieces, at most 4096",
    ),
    "a function of TensorFlow by its path": Attack(
        _file(_layer("TFOpLambda", function="io.read_file")),
        "expected one call of a function",
    ),
    "more tensors than there are": Attack(
        _file(_layer("Operation", function="add", arguments={"operands": [None] * 3})),
        "expected 3 tensors, received 1",
    ),
    "a dilation that does not fit": Attack(
        _file(
            _layer(
                "Conv2D",
                _IMAGE,
                **{**_CONV, "kernel_size": [3, 3], "dilation_rate": [2**60, 2**60]},
            )
        ),
        "Conv2D 'l'|conv",
    ),
    "more axes than NumPy has": Attack(
        _file(_layer("Reshape", (None, 1), target_shape=[1] * 40)), "limit rank"
    ),
    "a permutation of nothing": Attack(
        _file(_layer("Permute", (None, 3, 4), dims=list(range(1, 5000)))),
        "dims|Permute",
    ),
    # --- depth and length -------------------------------------------------------
    "deep JSON": Attack(_text("[" * 10**5 + "]" * 10**5), "not valid JSON: maximum"),
    "deep YAML": Attack(_yaml("- " * 3000 + "x"), "not valid YAML: maximum"),
    "wrappers in wrappers": Attack(_file(_wrapped(100)), "limit depth"),
    "models called again and again": Attack(
        _file(_laughs(10, 10)), r"\d{10,} calls of layers.* \(limit nodes"
    ),
    "a long name": Attack(_long_name, r"1048576 characters \(limit name_chars"),
    "thousands of unknown classes": Attack(
        _many_unknown, "layers that graphjit cannot make"
    ),
    "a long activation": Attack(
        _file(chain(dense(activation="x" * 10**6))), "characters left out"
    ),
    # --- numbers and texts ------------------------------------------------------
    "NaN": Attack(_text(_said('"units": NaN')), "NaN is no number"),
    "infinity": Attack(_text(_said('"units": -Infinity')), "-Infinity is no number"),
    "1e400": Attack(_text(_said('"units": 1e400')), "expected finite numbers"),
    "a huge integer": Attack(
        _text(_said(f'"units": {10**30}')), "expected integers of 64 bits"
    ),
    "an integer of 5,000 digits": Attack(
        _text(_said(f'"units": {"9" * 5000}')), "not valid JSON"
    ),
    "a key twice": Attack(
        _text(_said('"units": 2, "units": 3')), "'units' stands twice"
    ),
    "half a character": Attack(
        _text(_said('"units": 2, "name": "\\ud800"')), "stands twice|whole characters"
    ),
    "half a character in a class": Attack(
        _text(_said('"units": 2').replace('"Dense"', '"\\ud800"')), "whole characters"
    ),
    "a zero in a name": Attack(_file(chain(dense("a\x00b"))), None),
    "a BOM and more": Attack(_text("\ufeff\ufeff{}"), "attack.json"),
    # --- YAML -------------------------------------------------------------------
    "a tag of Python": Attack(
        _yaml("!!python/object/apply:os.system ['true']"), "is never read"
    ),
    "a tag of a name": Attack(_yaml("a: !!python/name:os.system"), "is never read"),
    "a tag of a module": Attack(_yaml("a: !!python/module:os"), "is never read"),
    "a tag of anybody": Attack(_yaml("a: !own {b: 1}"), "is never read"),
    "bomb of aliases": Attack(
        _yaml(
            "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
            + "".join(
                f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
            )
        ),
        "limit values",
    ),
    "an alias of itself": Attack(_yaml("a: &a [*a]"), "limit depth"),
    "merge keys": Attack(_yaml("a: &a {b: 1}\nc: {<<: *a}"), "merge keys"),
    "a number to the base 60": Attack(
        _yaml("a: 1" + ":59" * 10**4), "a number of 30001 digits"
    ),
    "a long YAML": Attack(_yaml("a: " + "x" * 2**22), "limit yaml_bytes"),
}
