"""Models in Keras's own files (`gj.keras`): every version, read exactly.

>>> from graphjit import keras
>>> config = {"class_name": "Sequential", "keras_version": "2.2.4", "config": [
...     {"class_name": "Dense",
...      "config": {"units": 2, "batch_input_shape": [None, 3]}}]}
>>> model = keras.load_model(config)
>>> model.output_shape, model.provenance.writer
((None, 2), 'Keras 2.2.4')
"""

from graphjit.keras.loading import load_model
from graphjit.keras.saving import save_model
from graphjit.provenance import Provenance

__all__ = ["Provenance", "load_model", "save_model"]
