"""The whole path on real data: capture, optimize, train, save, reload.

scikit-learn's 1,797 handwritten digits of 8 x 8 pixels; a small convolutional network
with batch norm and dropout, trained with `optax.adam`.

Run with ``make demo``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import optax
from sklearn.datasets import load_digits

import graphjit as gj

CLASSES = 10
TRAINED_ON = 1437  # four fifths
EPOCHS = 30


def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images (n, 8, 8, 1) from 0 to 1 and labels (n,), shuffled: train, then test."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    images = (data.images[order, :, :, None] / 16.0).astype(np.float32)
    labels = data.target[order].astype(np.int32)
    return (
        images[:TRAINED_ON],
        labels[:TRAINED_ON],
        images[TRAINED_ON:],
        labels[TRAINED_ON:],
    )


def network(data_format: str = "channels_last") -> gj.Model:
    """Three convolutions, two of them normalized, and two dense layers."""
    first = data_format == "channels_first"
    axis = 1 if first else -1
    image = gj.Input((1, 8, 8) if first else (8, 8, 1), name="image")
    x = gj.layers.Conv2D(
        32, 3, padding="same", data_format=data_format, use_bias=False, name="conv1"
    )(image)
    x = gj.layers.BatchNormalization(axis=axis, momentum=0.9, name="norm1")(x)
    x = gj.layers.ReLU(name="relu1")(x)
    x = gj.layers.Conv2D(
        32, 3, padding="same", data_format=data_format, use_bias=False, name="conv2"
    )(x)
    x = gj.layers.BatchNormalization(axis=axis, momentum=0.9, name="norm2")(x)
    x = gj.layers.ReLU(name="relu2")(x)
    x = gj.layers.MaxPooling2D(data_format=data_format, name="pool")(x)
    x = gj.layers.Conv2D(
        64, 3, data_format=data_format, activation="relu", name="conv3"
    )(x)
    x = gj.layers.Flatten(data_format=data_format, name="flat")(x)
    x = gj.layers.Dropout(0.4, seed=1, name="drop")(x)
    x = gj.layers.Dense(64, activation="relu", name="hidden")(x)
    digit = gj.layers.Dense(CLASSES, activation="softmax", name="digit")(x)
    return gj.Model(image, digit, name="digits")


def print_confusion(labels: np.ndarray, predicted: np.ndarray) -> None:
    """A row per true digit, a column per predicted one."""
    table = np.zeros((CLASSES, CLASSES), int)
    np.add.at(table, (labels, predicted), 1)
    print("\nconfusion (rows: true digit, columns: predicted)")
    print("     " + "".join(f"{digit:4d}" for digit in range(CLASSES)))
    for digit, row in enumerate(table):
        print(f"{digit:4d} " + "".join(f"{n:4d}" if n else "   ." for n in row))


def predict_in_fresh_process(model: Path, images: np.ndarray) -> np.ndarray:
    """What a new Python process predicts with the saved model."""
    code = (
        "import sys, numpy, graphjit\n"
        "model, data, result = sys.argv[1:]\n"
        "predicted = graphjit.load(model).predict(numpy.load(data))\n"
        "numpy.save(result, predicted)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        data, result = Path(folder, "data.npy"), Path(folder, "result.npy")
        np.save(data, images)
        subprocess.run(
            [sys.executable, "-c", code, str(model), str(data), str(result)], check=True
        )
        return np.load(result)


def main(epochs: int = EPOCHS, path: Path = Path("digits.gjit")) -> float:
    """Run the demo and return the test accuracy."""
    train_x, train_y, test_x, test_y = digits()
    model = network()
    model.summary()

    executable = gj.jit(model)
    print("\nthe captured graph\n")
    print(model.graph)
    print("\nthe same graph after the inference passes\n")
    print(executable.graph)
    print("\nwhat the passes did\n")
    print(executable.explain())

    print(f"\ntraining on {len(train_x)} images")
    schedule = optax.cosine_decay_schedule(2e-3, epochs * (len(train_x) // 64 + 1))
    model.compile(
        optimizer=optax.adam(schedule),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    start = time.perf_counter()
    model.fit(train_x, train_y, epochs=epochs, batch_size=64, verbose=2)
    print(f"trained in {time.perf_counter() - start:.1f} s")

    predicted = model.predict(test_x)
    accuracy = float(np.mean(predicted.argmax(1) == test_y))
    print_confusion(test_y, predicted.argmax(1))

    twin = network("channels_first")
    twin.set_weights(model.get_weights())
    turned = twin.predict(np.transpose(test_x, (0, 3, 1, 2)))
    print("\nthe channels_first twin after the passes\n")
    print(gj.jit(twin).graph)
    difference = np.abs(turned - predicted).max()
    print(f"maximum difference of the channels_first twin: {difference}")

    model.save(path)
    reloaded = predict_in_fresh_process(path, test_x)
    print(f"saved {path} ({path.stat().st_size:,} bytes)")
    print(f"test accuracy: {accuracy:.4f}")
    print(f"maximum difference after reload: {np.abs(reloaded - predicted).max()}")
    return accuracy


if __name__ == "__main__":
    main()
