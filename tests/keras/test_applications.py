"""Small networks of the families of `keras.applications` with the rarest parts.

`python -m tests.keras.applications FOLDER` does every family in full.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import graphjit as gj
from tests.keras.applications import allowed, errors, is_same, made, saved

keras = pytest.importorskip("keras")
#: Where sizes are arguments: what is public has them fixed.
convnext = pytest.importorskip("keras.src.applications.convnext")
efficientnet = pytest.importorskip("keras.src.applications.efficientnet")

#: What Keras says of its own code and files.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)
#: The function, and settings that make the network small.
SMALL: dict[str, tuple[Any, dict[str, Any]]] = {
    "ConvNeXt": (
        convnext.ConvNeXt,
        {"depths": [1, 1, 1, 1], "projection_dims": [4, 4, 6, 6]},
    ),
    "EfficientNet": (
        efficientnet.EfficientNet,
        {
            "width_coefficient": 0.1,
            "depth_coefficient": 0.1,
            "default_size": 32,
            "name": "small",
        },
    ),
    "MobileNetV3": (keras.applications.MobileNetV3Small, {"alpha": 0.1}),
}


@pytest.mark.parametrize("family", SMALL)
def test_a_small_one(family: str, tmp_path: Path) -> None:
    make, settings = SMALL[family]
    network = made(make, input_shape=(32, 32, 3), classes=5, **settings)
    first, second = saved(network, tmp_path, "m")
    model = gj.keras.load_model(first)
    assert max(errors(model, network).values()) <= allowed(network)
    assert is_same(model, gj.keras.load_model(second))
