"""Sentences to classes: a convolution for each width of words, side by side (TextCNN).

rt-polarity, 10,662 sentences about films, half of them praise. The rows are shuffled by
NumPy's generator of seed 0; the first nine tenths (9,595) are to train on and the last
tenth (1,067) is held out. Widths, dropout, rate and epochs were chosen on three tenths
of the rows to train on. Source: Kim, Convolutional Neural Networks for Sentence
Classification, 2014, with word vectors learned from nothing ("CNN-rand").

Run with ``python examples/text.py``.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

import datasets
import numpy as np
import optax

import graphjit as gj

EPOCHS = 5
BATCH = 32
WIDTHS = (3, 5, 7)
PADDING, UNKNOWN, KNOWN = 0, 1, 2


def vocabulary(texts: Sequence[str], least: int = 2) -> dict[str, int]:
    """An id, from 2, for every word that stands `least` times in the texts."""
    counts = Counter(word for text in texts for word in text.split())
    words = [word for word, count in counts.most_common() if count >= least]
    return {word: KNOWN + at for at, word in enumerate(words)}


def encoded(texts: Sequence[str], ids: dict[str, int], length: int) -> np.ndarray:
    """The ids of the first `length` words of each text, (n, length)."""
    rows = np.full((len(texts), length), PADDING, np.int32)
    for row, text in zip(rows, texts, strict=True):
        words = [ids.get(word, UNKNOWN) for word in text.split()][:length]
        row[: len(words)] = words
    return rows


def network(length: int, words: int, filters: int = 100) -> gj.Model:
    """Three convolutions over the same word vectors, of each filter the strongest hit.

    In training three tenths of all words are unknown to a batch (their vectors are
    zero), then half of all numbers: so few sentences are soon learned by heart.
    """
    sentence = gj.Input((length,), dtype="int32", name="sentence")
    vectors = gj.layers.Embedding(words, 64, dropout=0.3, name="vectors")(sentence)
    vectors = gj.layers.Dropout(0.5, seed=1, name="drop_vectors")(vectors)
    branches = []
    for width in WIDTHS:
        x = gj.layers.Conv1D(
            filters, width, padding="same", activation="relu", name=f"words{width}"
        )(vectors)
        branches.append(gj.layers.GlobalMaxPooling1D(name=f"strongest{width}")(x))
    x = gj.layers.concatenate(branches, name="found")
    x = gj.layers.Dropout(0.5, seed=2, name="drop_found")(x)
    praise = gj.layers.Dense(1, activation="sigmoid", name="praise")(x)
    return gj.Model(sentence, praise, name="text_cnn")


def main(epochs: int = EPOCHS, filters: int = 100) -> float:
    """Run the demo and return the held-out accuracy."""
    data = datasets.sentences()
    ids = vocabulary(data.train_x)
    length = max(len(text.split()) for text in data.train_x)
    train_x, test_x = (encoded(x, ids, length) for x in (data.train_x, data.test_x))
    print(f"{data.source}: {len(train_x)} texts to train on, {len(test_x)} held out,")
    print(f"of up to {length} words; {len(ids)} words are known")

    model = network(length, KNOWN + len(ids), filters)
    model.summary()
    steps = epochs * -(-len(train_x) // BATCH)
    model.compile(
        optimizer=optax.adam(optax.cosine_decay_schedule(2e-3, steps)),
        loss="binary_crossentropy",
        metrics=["accuracy"],
    )
    start = time.perf_counter()
    model.fit(train_x, data.train_y, epochs=epochs, batch_size=BATCH, verbose=2)
    print(f"trained in {time.perf_counter() - start:.1f} s")

    praise = model.predict(test_x)[:, 0]
    print("\nheld out (praise, as it was judged; the text)")
    for at in np.argsort(praise)[:: max(1, len(praise) // 8)]:
        print(f"{praise[at]:.3f} {data.test_y[at]:.0f} {data.test_x[at][:68]}")
    accuracy = float(np.mean((praise > 0.5) == data.test_y))
    print(f"held-out accuracy: {accuracy:.4f}")
    return accuracy


if __name__ == "__main__":
    main()
