"""Makes tensorflow_nodes.json beside it; run under TensorFlow 2.21.

Ops that a user called on symbolic tensors, as the layers that tf.keras made of them up
to TensorFlow 2.3. TensorFlow still holds that tf.keras (tensorflow.python.keras), which
writes them without eager execution. `texts` are the same nodes as protobuf's bytes,
as 1.15 to 2.1 wrote them; of a few these are no text, and those could not be saved.

    python make_tensorflow_nodes.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def results(tf: Any, a: Any, b: Any) -> dict[str, Any]:
    """By name what is computed of two tensors (n, 2, 3, 2)."""
    pads = [[0, 0], [1, 1], [2, 0], [0, 0]]
    return {
        "scaled": 2.0 - a * 0.5,
        "ratio": 1.0 / a + a / b,
        "mod": a % 2.0,
        "power": a**2,
        "masked": tf.where(tf.logical_and(a > b, a > 0), a, 0.0),
        "rows": a[:, 1:3, ..., 0],
        "steps": a[:, ::2, None, -1],
        "last": a[..., :1],
        "new": a[:, 0, tf.newaxis, 1:-1],
        "back": a[:, ::-1, -2:],
        "mean": tf.reduce_mean(a, [1, 2]),
        "max": tf.reduce_max(a, -1, keepdims=True),
        "any": tf.cast(tf.reduce_any(a > 0, axis=1), "float32"),
        "squeezed": tf.squeeze(a[:, :1], [1]),
        "wide": tf.expand_dims(a, 1),
        "flat": tf.reshape(a, [-1, 6, 2]),
        "turned": tf.transpose(a, [0, 2, 1, 3]),
        "half": tf.cast(a, tf.float16),
        "leaky": tf.nn.leaky_relu(a, 0.25),
        "six": tf.nn.relu6(3 * a),
        "softmax": tf.nn.softmax(a, axis=1),
        "logs": tf.nn.log_softmax(a),
        "zeros": tf.pad(a, pads),
        "ones": tf.pad(a, pads, constant_values=1.0),
        "mirror": tf.pad(a, pads, "REFLECT"),
        "symmetric": tf.pad(a, pads, "SYMMETRIC"),
        "halves": tf.split(a, 2, axis=1)[1],
        "part": tf.split(a, [1, 2], axis=2)[1],
        "piece": tf.unstack(a, axis=1)[1],
        "clipped": tf.clip_by_value(a, -0.5, 1.0),
        "taken": tf.gather(a, [2, 0], axis=2),
        "tiled": tf.tile(a, [1, 2, 1, 1]),
        "unit": tf.nn.l2_normalize(a, axis=-1),
        "best": tf.one_hot(tf.argmax(a, -1), 2),
        "larger": tf.image.resize(a, [4, 5]),
        "nearest": tf.image.resize(a, [4, 5], method="nearest"),
        "sums": tf.cumsum(a, axis=1),
        "reversed": tf.reverse(a, [1]),
        "biased": tf.nn.bias_add(a, [1.0, 2.0]),
        "joined": tf.concat([a, b], -1),
        "stacked": tf.stack([a, b], axis=1),
        "product": tf.matmul(a, b, transpose_b=True),
        "left": tf.matmul(a, b, transpose_a=True),
        "difference": tf.math.squared_difference(a, b),
        "erf": tf.math.erf(tf.round(a)),
        "exp": tf.exp(tf.minimum(a, 1.0)),
    }


def short(data: Any) -> Any:
    """Nested lists with the digits that a float32 has."""
    if isinstance(data, list):
        return [short(item) for item in data]
    return float(f"{data:.7g}")


def main(folder: Path) -> None:
    import tensorflow as tf
    import tensorflow.python.keras as keras
    from google.protobuf import json_format
    from tensorflow.core.framework import node_def_pb2
    from tensorflow.python.keras import models
    from tensorflow.python.keras.engine.input_layer import Input

    tf.compat.v1.disable_eager_execution()
    keras.__version__ = "2.4.0"  # without one it writes no configuration
    rng = np.random.default_rng(0)
    data = {k: rng.standard_normal((2, 2, 3, 2)).astype("f4").round(2) for k in "ab"}
    inputs = [Input((2, 3, 2), name=name) for name in data]
    made = results(tf, *inputs)
    model = models.Model(inputs, list(made.values()))
    found = model.predict(list(data.values()))
    config = json.loads(model.to_json())
    texts: dict[str, str] = {}
    for layer in config["config"]["layers"]:
        if layer["class_name"] == "TensorFlowOpLayer":
            node = node_def_pb2.NodeDef()
            json_format.ParseDict(layer["config"]["node_def"], node)
            try:
                texts[layer["name"]] = node.SerializeToString(
                    deterministic=True
                ).decode()
            except UnicodeDecodeError:
                print(f"no text: {layer['name']}")
    recorded = {
        "inputs": {name: short(array.tolist()) for name, array in data.items()},
        "config": config,
        "texts": texts,
        "names": list(made),
        "outputs": [short(np.asarray(y, "f8").tolist()) for y in found],
    }
    target = folder / "tensorflow_nodes.json"
    target.write_text(json.dumps(recorded, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
