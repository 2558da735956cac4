"""Makes the recorded files beside it; run under tensorflow 2.15 (``keras`` 2.15).

They hold what is hard to get right in Keras 2's own writing: nested models whose calls
count from 1, a chain called twice, initial states, attention's named inputs, and a
frozen layer in a nested model, which changes the order of its weights.

    python make_tf_keras_2_15.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import keras
import numpy as np

L = keras.layers


def nested_model() -> keras.Model:
    x = keras.Input((5, 4), name="x")
    first = keras.Input((4,))
    middle = L.BatchNormalization()(L.Dense(2)(first))
    inner = keras.Model(first, L.Dense(3, activation="tanh")(middle), name="inner")
    chain = keras.Sequential([L.Dense(3, input_shape=(3,)), L.ReLU()], name="chain")
    a, b, c = L.LSTM(4, return_state=True, name="states")(x)
    follows = L.LSTM(4, name="follows")(x, initial_state=[b, c])
    attended = L.MultiHeadAttention(2, 3, name="attention")(x, x)
    mean = L.GlobalAveragePooling1D(name="mean")(attended)
    once = chain(L.Add(name="add")([inner(follows), inner(mean)]))
    penalty = keras.regularizers.L2(0.01)
    steps = L.Dense(3, kernel_regularizer=penalty)
    both = L.Bidirectional(L.GRU(3), name="both")
    turned = both(L.TimeDistributed(steps, name="steps")(x))
    # Frozen before anything is saved: its weights then come last.
    inner.layers[1].trainable = False
    return keras.Model(x, [once, inner(a), chain(chain(once)), turned], name="nested")


def main(folder: Path) -> None:
    model = nested_model()
    rng = np.random.default_rng(0)
    shapes = [w.shape for w in model.get_weights()]
    weights = [rng.random(s).astype("float32") - 0.3 * (len(s) > 1) for s in shapes]
    model.set_weights(weights)
    x = (rng.integers(-8, 9, (2, 5, 4)) / 8).astype("float32")
    outputs = model.predict(x, verbose=0)
    model.save_weights(folder / "nested_tf_keras_2_15.h5")
    recorded = {
        "text": model.to_json(),
        "x": x.tolist(),
        "outputs": [y.tolist() for y in outputs],
    }
    target = folder / "nested_tf_keras_2_15.json"
    target.write_text(json.dumps(recorded) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
