"""A text, character by character: an LSTM that carries its state from window to window.

The text is cut into 32 streams, read side by side in windows of 50 characters; each
window goes on where the one before ended, in `fit` as in `evaluate`, and the state is
put back to zeros between epochs. Then a model of batch 1 and one step, built from the
same weights, writes: each character that it draws is its next input.

Data: the sentences of rt-polarity as one text, else scikit-learn's descriptions of its
data sets. The last tenth of the text is held out.

Run with ``python examples/characters.py``: 2.533 bits per character held out (2.629
when every window begins with no memory, 3.478 by a table of pairs) after 39 s of
training on two cores that others were using too; on scikit-learn's descriptions, 13,693
characters in all, 3.838 (3.858, 4.075).
"""

from __future__ import annotations

import math
import time
from collections import Counter

import datasets
import numpy as np

import graphjit as gj

EPOCHS = 6
MOST_STREAMS = 32
STEPS = 50
MOST_CHARACTERS = 400_000


def network(
    characters: int, batch: int, steps: int, units: int, stateful: bool = True
) -> gj.Sequential:
    """The probabilities of the next character, after every character."""
    return gj.Sequential(
        [
            gj.Input(batch_shape=(batch, steps), dtype="int32", name="text"),
            gj.layers.Embedding(characters, 32, name="vectors"),
            gj.layers.LSTM(
                units, return_sequences=True, stateful=stateful, name="memory"
            ),
            gj.layers.Dense(characters, activation="softmax", name="next"),
        ],
        name="characters",
    )


def windows(ids: np.ndarray, streams: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The windows of a text and what follows each character, (m * streams, steps).

    Row i of a batch goes on where row i of the batch before ended.
    """
    batches = (len(ids) - 1) // (streams * steps)
    used = batches * streams * steps

    def cut(part: np.ndarray) -> np.ndarray:
        by_stream = part.reshape(streams, batches, steps)
        return by_stream.transpose(1, 0, 2).reshape(-1, steps)

    return cut(ids[:used]), cut(ids[1 : used + 1])


def bits_of_pairs(train: np.ndarray, test: np.ndarray, characters: int) -> float:
    """Bits per character of a table of pairs, one added to each count."""
    counts = np.ones((characters, characters))
    np.add.at(counts, (train[:-1], train[1:]), 1)
    table = counts / counts.sum(1, keepdims=True)
    return float(-np.log2(table[test[:-1], test[1:]]).mean())


def written(
    model: gj.Sequential, start: str, alphabet: str, length: int, temperature: float
) -> str:
    """`length` characters that the model writes after `start`, one by one."""
    rng = np.random.default_rng(0)
    model.reset_states()
    text = start
    for at in range(len(start) + length - 1):
        known = np.array([[alphabet.index(text[at])]])
        (following,) = model.predict_on_batch(known)[0]
        if at + 1 >= len(start):
            weights = np.exp(np.log(following.astype(float) + 1e-9) / temperature)
            text += alphabet[rng.choice(len(alphabet), p=weights / weights.sum())]
    return text


def main(
    epochs: int = EPOCHS, units: int = 128, characters: int = MOST_CHARACTERS
) -> float:
    """Run the demo and return the bits per character on the text held out."""
    source, text = datasets.running_text()
    text = text[:characters]
    alphabet = "".join(sorted(Counter(text)))
    ids = np.array([alphabet.index(character) for character in text], np.int32)
    at = len(ids) * 9 // 10
    train, test = ids[:at], ids[at:]
    print(f"{source}: {len(train)} characters to train on, {len(test)} held out,")
    # A short text is cut into fewer streams, so that each has a few windows.
    streams = max(1, min(MOST_STREAMS, len(test) // (4 * STEPS)))
    print(f"{len(alphabet)} different ones, in {streams} streams")

    model = network(len(alphabet), streams, STEPS, units)
    model.summary()
    model.compile(gj.optimizers.Adam(4e-3), "sparse_categorical_crossentropy")
    x, y = windows(train, streams, STEPS)
    start = time.perf_counter()
    for epoch in range(epochs):
        history = model.fit(x, y, shuffle=False, verbose=0)
        model.reset_states()
        bits = history.history["loss"][-1] / math.log(2)
        print(f"epoch {epoch + 1}: {bits:.3f} bits per character")
    print(f"trained in {time.perf_counter() - start:.1f} s")

    test_x, test_y = windows(test, streams, STEPS)
    bits = model.evaluate(test_x, test_y, verbose=0) / math.log(2)
    forgetful = network(len(alphabet), streams, STEPS, units, stateful=False)
    forgetful.set_weights(model.get_weights())
    forgetful.compile(loss="sparse_categorical_crossentropy")
    cut_off = forgetful.evaluate(test_x, test_y, verbose=0) / math.log(2)

    writer = network(len(alphabet), 1, 1, units)
    writer.set_weights(model.get_weights())
    print("\n" + written(writer, text[:8], alphabet, 300, temperature=0.6) + "\n")
    pairs = bits_of_pairs(train, test, len(alphabet))
    print(f"bits per character held out, by a table of pairs: {pairs:.3f}")
    print(f"when every window begins with no memory: {cut_off:.3f}")
    print(f"bits per character held out: {bits:.3f}")
    return bits


if __name__ == "__main__":
    main()
