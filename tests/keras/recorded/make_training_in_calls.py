"""Makes training_in_calls.h5 and .json beside it; run under tf_keras 2.21.

A layer or a model inside may be called with ``training=``: what tf.keras writes then,
and what it computes. What is drawn at random is recorded by its name alone.

    python make_training_in_calls.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def built(keras: Any) -> Any:
    layers = keras.layers

    def inner(name: str, **mode: Any) -> Any:
        x = keras.Input((4,))
        y = layers.BatchNormalization(name=f"{name}_norm", momentum=0.5)(x)
        return keras.Model(
            x, layers.Dropout(0.5, name=f"{name}_drop")(y, **mode), name=name
        )

    x = keras.Input((4,), name="x")
    h = layers.Dense(4, name="dense")(x)
    outputs = {}
    for name, mode in (("norm_true", True), ("norm_false", False)):
        norm = layers.BatchNormalization(name=name, momentum=0.5)
        outputs[name] = norm(h, training=mode)
    norm = layers.BatchNormalization(name="frozen_true", momentum=0.5)
    norm.trainable = False
    outputs["frozen_true"] = norm(h, training=True)
    outputs["model_false"] = inner("model_false")(h, training=False)
    outputs["drawn_model_true"] = inner("drawn_model_true")(h, training=True)
    mixed = inner("drawn_inside", training=True)
    outputs["drawn_inside"] = mixed(h, training=False)
    outputs["drawn_true"] = layers.Dropout(0.5, name="drawn_true")(h, training=True)
    outputs["drawn_one"] = layers.Dropout(0.5, name="drawn_one")(h, training=1)
    steps = layers.Reshape((2, 2), name="steps")(h)
    lstm = layers.LSTM(2, dropout=0.5, name="drawn_lstm")
    outputs["drawn_lstm"] = lstm(steps, training=True)
    return keras.Model(x, list(outputs.values()), name="modes"), list(outputs)


def main(folder: Path) -> None:
    import tf_keras as keras

    model, names = built(keras)
    rng = np.random.default_rng(0)
    shapes = [w.shape for w in model.get_weights()]
    model.set_weights([rng.uniform(0.5, 1.5, s).astype("float32") for s in shapes])
    x = rng.standard_normal((8, 4)).astype("float32").round(3)
    model.save(folder / "training_in_calls.h5", include_optimizer=False)
    found = dict(zip(names, model.predict(x, verbose=0), strict=True))
    outputs = {k: v.tolist() for k, v in found.items() if not k.startswith("drawn")}
    before = {w.name: w.numpy() for w in model.weights}
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.fit(x, list(found.values()), batch_size=8, verbose=0)
    moved = [w.name for w in model.weights if not np.allclose(w, before[w.name])]
    recorded = {"x": x.tolist(), "outputs": outputs, "names": names, "moved": moved}
    target = folder / "training_in_calls.json"
    target.write_text(json.dumps(recorded) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
