"""graphjit: Keras models as an immutable graph, compiled by JAX.

>>> import graphjit as gj
>>> x = gj.Input((28, 28, 1))
>>> y = gj.layers.Dense(10, activation="softmax")(gj.layers.Flatten()(x))
>>> gj.Model(x, y).output_shape
(None, 10)
"""

from graphjit import (
    activations,
    backend,
    callbacks,
    config,
    constraints,
    errors,
    initializers,
    keras,
    keras1,
    layers,
    losses,
    metrics,
    optimizers,
    passes,
    plot,
    regularizers,
)
from graphjit.capture.input_layer import Input
from graphjit.executable import Executable
from graphjit.formats.limits import Limits
from graphjit.functions import register
from graphjit.ir import Graph
from graphjit.lower import lower
from graphjit.model import Model, jit
from graphjit.model_text import (
    layer_from_config,
    model_from_config,
    model_from_json,
    model_from_yaml,
)

# No layer uses `scan` yet; importing it enters it into the table of ops.
from graphjit.ops import scan as _scan  # noqa: F401 # pyright: ignore[reportUnusedImport]
from graphjit.plot import plot_model
from graphjit.saving import from_bytes, load, to_bytes
from graphjit.sequential import Sequential
from graphjit.verify import verify

__version__ = "0.1.0"

__all__ = [
    "Executable",
    "Graph",
    "Input",
    "Limits",
    "Model",
    "Sequential",
    "activations",
    "backend",
    "callbacks",
    "config",
    "constraints",
    "errors",
    "from_bytes",
    "initializers",
    "jit",
    "keras",
    "keras1",
    "layer_from_config",
    "layers",
    "load",
    "losses",
    "lower",
    "metrics",
    "model_from_config",
    "model_from_json",
    "model_from_yaml",
    "optimizers",
    "passes",
    "plot",
    "plot_model",
    "register",
    "regularizers",
    "to_bytes",
    "verify",
]
