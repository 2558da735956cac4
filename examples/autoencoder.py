"""Images squeezed into 16 numbers and drawn again; then the numbers tell the digit.

The encoder convolves, the decoder convolves transposed; the autoencoder calls one on
the other's result. A second model stands on the same encoder, frozen: a classifier with
few labels, on codes that were learned without any. The same classifier on an encoder
that learned nothing shows what the codes are worth, and principal components of the
same number show what the convolutions are.

Data: the 5,000 MNIST digits of the corpus, else scikit-learn's 1,797.

Run with ``python examples/autoencoder.py``: mean squared error 0.0127 (principal
components 0.0272), accuracy with 200 labels 0.809 (untrained encoder 0.523), after 40 s
of training on two cores that others were using too. On scikit-learn's digits: 0.0119
(principal components 0.0116: 64 pixels leave little to find), 0.917 (0.808).
"""

from __future__ import annotations

import time

import datasets
import numpy as np

import graphjit as gj

EPOCHS = 30
CODE = 16
LABELED = 200
CLASSES = 10


def encoder(size: int) -> gj.Model:
    """An image (size, size, 1) to a code of 16 numbers."""
    image = gj.Input((size, size, 1), name="image")
    x = image
    for at, filters in enumerate((16, 32), start=1):
        x = gj.layers.Conv2D(
            filters, 3, strides=2, padding="same", activation="relu", name=f"down{at}"
        )(x)
    x = gj.layers.Flatten(name="flat")(x)
    return gj.Model(image, gj.layers.Dense(CODE, name="code")(x), name="encoder")


def decoder(size: int) -> gj.Model:
    """A code of 16 numbers to an image (size, size, 1)."""
    code = gj.Input((CODE,), name="code")
    small = size // 4
    x = gj.layers.Dense(small * small * 32, activation="relu", name="spread")(code)
    x = gj.layers.Reshape((small, small, 32), name="grid")(x)
    x = gj.layers.Conv2DTranspose(
        16, 3, strides=2, padding="same", activation="relu", name="up1"
    )(x)
    image = gj.layers.Conv2DTranspose(
        1, 3, strides=2, padding="same", activation="sigmoid", name="up2"
    )(x)
    return gj.Model(code, image, name="decoder")


def classifier(encode: gj.Model, size: int) -> gj.Model:
    """A digit from the encoder's code; the encoder stays as it is."""
    encode.trainable = False
    image = gj.Input((size, size, 1), name="image")
    x = gj.layers.BatchNormalization(momentum=0.9, name="scaled")(encode(image))
    digit = gj.layers.Dense(CLASSES, activation="softmax", name="digit")(x)
    return gj.Model(image, digit, name="classifier")


def classifier_accuracy(encode: gj.Model, data: datasets.Split, epochs: int) -> float:
    """The test accuracy of a classifier on this encoder, of `LABELED` labels."""
    model = classifier(encode, data.train_x.shape[1])
    before = encode.get_weights()
    model.compile(gj.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    x, y = data.train_x[:LABELED], data.train_y[:LABELED]
    model.fit(x, y, epochs=epochs, batch_size=50, verbose=0)
    for old, new in zip(before, encode.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    return float(np.mean(model.predict(data.test_x).argmax(1) == data.test_y))


def error_of_components(train: np.ndarray, test: np.ndarray) -> float:
    """The mean squared error of `CODE` principal components of the training images."""
    train, test = train.reshape(len(train), -1), test.reshape(len(test), -1)
    mean = train.mean(0)
    _, _, axes = np.linalg.svd(train - mean, full_matrices=False)
    codes = (test - mean) @ axes[:CODE].T
    return float(np.mean((codes @ axes[:CODE] + mean - test) ** 2))


def drawn(image: np.ndarray) -> list[str]:
    """An image (s, s, 1) as lines of characters, at most 14 of them."""
    step = max(1, len(image) // 14)
    rows = image[::step, ::step, 0]
    return [
        "".join(" .:+#"[min(4, int(5 * pixel))] * 2 for pixel in row) for row in rows
    ]


def main(epochs: int = EPOCHS) -> tuple[float, float]:
    """Run the demo; the mean squared error, and the accuracy with few labels."""
    data = datasets.digit_images()
    size = data.train_x.shape[1]
    print(f"{data.source}: {len(data.train_x)} images of {size} x {size} to train on")

    encode, decode = encoder(size), decoder(size)
    image = gj.Input((size, size, 1), name="image")
    model = gj.Model(image, decode(encode(image)), name="autoencoder")
    encode.summary()
    decode.summary()
    model.summary()
    untrained = encoder(size)

    model.compile(gj.optimizers.Adam(2e-3), "binary_crossentropy", metrics=["mse"])
    start = time.perf_counter()
    model.fit(data.train_x, data.train_x, epochs=epochs, batch_size=64, verbose=2)
    print(f"trained in {time.perf_counter() - start:.1f} s")

    again = model.predict(data.test_x)
    print("\nthree images, and what their codes say")
    for at in range(3):
        pair = zip(drawn(data.test_x[at]), drawn(again[at]), strict=True)
        print("\n".join(f"{left} | {right}" for left, right in pair), "\n")
    error = float(np.mean((again - data.test_x) ** 2))
    components = error_of_components(data.train_x, data.test_x)
    print(f"mean squared error: {error:.5f}")
    print(f"mean squared error of {CODE} principal components: {components:.5f}")

    # Between the models nothing was copied: the trained encoder is in both.
    codes = encode.predict(data.test_x)
    difference = np.abs(decode.predict(codes) - again).max()
    print(f"maximum difference of the two halves, one after the other: {difference}")
    plain = classifier_accuracy(untrained, data, epochs)
    print(f"accuracy with {LABELED} labels on an untrained encoder: {plain:.4f}")
    accuracy = classifier_accuracy(encode, data, epochs)
    print(f"accuracy with {LABELED} labels: {accuracy:.4f}")
    return error, accuracy


if __name__ == "__main__":
    main()
