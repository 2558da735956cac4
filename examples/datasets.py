"""The data of the examples: recorded files where they are, else scikit-learn's own.

The recorded files lie in the folder ``data`` of the corpus, which is the folder named
by ``GRAPHJIT_CORPUS`` or ``../shared/corpus`` from the project's root. Without it,
every example runs on what scikit-learn carries with it: nothing is ever fetched.
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
)

Array = np.ndarray[Any, Any]
Sequences = tuple[list[Array], Array]

ROOT = Path(__file__).resolve().parents[1]


class Split(NamedTuple):
    """Rows to train on and rows to test with."""

    source: str
    train_x: Any
    train_y: Array
    test_x: Any
    test_y: Array


def recorded(name: str) -> Path | None:
    """A file of the corpus, or None where it is absent."""
    corpus = os.environ.get("GRAPHJIT_CORPUS") or ROOT.parent / "shared" / "corpus"
    path = Path(corpus) / "data" / name
    return path if path.is_file() else None


# --- digits -----------------------------------------------------------------------


def digit_images() -> Split:
    """Images (n, s, s, 1) from 0 to 1, shuffled; four fifths are to train on.

    MNIST's first 5,000 of 28 x 28 pixels, or scikit-learn's 1,797 of 8 x 8.
    """
    path = recorded("mnist_5k.csv.gz")
    if path is None:
        source, data = "scikit-learn's digits", load_digits()
        images, labels = data.images / 16.0, data.target
    else:
        with gzip.open(path, "rt") as file:
            table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
        source, labels = path.name, table[:, -1]
        images = table[:, :-1].reshape(-1, 28, 28) / 255.0
    order = np.random.default_rng(0).permutation(len(labels))
    x = images[order, :, :, None].astype(np.float32)
    y = labels[order].astype(np.int32)
    at = len(y) * 4 // 5
    return Split(source, x[:at], y[:at], x[at:], y[at:])


# --- sequences --------------------------------------------------------------------


def spoken_vowels() -> Split:
    """Sequences (t, c), each of its own length, and the class of each.

    JapaneseVowels as its authors split it: 12 coefficients per step, nine speakers.
    Without it, scikit-learn's digits, read column by column from the first that has
    ink to the last.
    """
    train, test = (
        recorded("JapaneseVowels_TRAIN.ts"),
        recorded("JapaneseVowels_TEST.ts"),
    )
    if train is not None and test is not None:
        return Split("JapaneseVowels", *read_ts(train), *read_ts(test))
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    sequences = [_inked_columns(data.images[at]) for at in order]
    labels = data.target[order].astype(np.int32)
    at = len(labels) * 4 // 5
    halves = (sequences[:at], labels[:at], sequences[at:], labels[at:])
    return Split("columns of scikit-learn's digits", *halves)


def _inked_columns(image: Array) -> Array:
    inked = np.flatnonzero(image.any(axis=0))
    return (image.T[inked[0] : inked[-1] + 1] / 16.0).astype(np.float32)


def read_ts(path: Path) -> Sequences:
    """The sequences of a ``.ts`` file, (t, c) each, and their classes (n,), from 0.

    A line is ``1.0,2.0:3.0,4.0:label``: the steps of every channel, then the label.
    Classes are counted in the order in which ``@classLabel`` lists them.

    Raises:
        ValueError: The file is not of that form; names it and the line.
    """
    sequences: list[Array] = []
    labels: list[int] = []
    classes: list[str] | None = None
    in_data = False
    for number, line in enumerate(path.read_text("utf-8").split("\n"), start=1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        try:
            if in_data:
                *channels, label = line.strip().split(":")
                sequences.append(_steps(channels))
                labels.append(_index_of(label, classes))
            elif words[0].lower() == "@data":
                in_data = True
            elif words[0].lower() == "@classlabel" and words[1:2] == ["true"]:
                classes = words[2:]
            elif words[0].lower() == "@timestamps" and words[1:] != ["false"]:
                raise ValueError("time stamps are not read")
        except ValueError as error:
            raise ValueError(f"{path.name}, line {number}: {error}") from None
    if not sequences:
        raise ValueError(f"{path.name}: there are no sequences behind '@data'")
    widths = sorted({sequence.shape[1] for sequence in sequences})
    if len(widths) != 1:
        raise ValueError(f"{path.name}: sequences of {widths} channels in one file")
    return sequences, np.array(labels, np.int32)


def _steps(channels: list[str]) -> Array:
    """The channels of a line as (t, c)."""
    if not channels:
        raise ValueError("expected channels and a label with ':' between them")
    read = [[float(number) for number in one.split(",")] for one in channels]
    lengths = sorted({len(one) for one in read})
    if len(lengths) != 1:
        raise ValueError(f"expected channels of one length, received {lengths}")
    steps = np.array(read, np.float32).T
    if not np.isfinite(steps).all():
        raise ValueError("expected finite numbers")
    return steps


def _index_of(label: str, classes: list[str] | None) -> int:
    if classes is None or label.strip() not in classes:
        raise ValueError(f"expected a label of {classes}, received {label.strip()!r}")
    return classes.index(label.strip())


# --- texts ------------------------------------------------------------------------


def sentences() -> tuple[str, list[str], Array]:
    """Where sentences are from, the sentences, and the class of each; shuffled.

    rt-polarity: 10,662 sentences about films, 1 where they praise. Without it, runs of
    twelve words of scikit-learn's data set descriptions, 1 where it describes digits or
    breast cancer, 0 where it describes wine, irises or diabetes.
    """
    praise, blame = recorded("rt-polarity.pos"), recorded("rt-polarity.neg")
    if praise is not None and blame is not None:
        source, classes = "rt-polarity", [read_lines(blame), read_lines(praise)]
    else:
        source = "scikit-learn's descriptions"
        loaders = [
            (load_wine, load_iris, load_diabetes),
            (load_digits, load_breast_cancer),
        ]
        classes = [
            [run for load in of_class for run in _runs_of_words(load().DESCR.lower())]
            for of_class in loaders
        ]
    texts = [text for of_class in classes for text in of_class]
    labels = np.repeat(np.arange(len(classes)), [len(texts_) for texts_ in classes])
    order = np.random.default_rng(0).permutation(len(texts))
    return source, [texts[at] for at in order], labels[order].astype(np.float32)


def _runs_of_words(text: str, length: int = 12) -> list[str]:
    words = text.split()
    return [" ".join(words[at : at + length]) for at in range(0, len(words), length)]


def running_text() -> tuple[str, str]:
    """Where a text is from, and the text: one long string in small letters.

    The sentences of rt-polarity, one a line, or scikit-learn's descriptions.
    """
    paths = [recorded("rt-polarity.pos"), recorded("rt-polarity.neg")]
    found = [line for path in paths if path is not None for line in read_lines(path)]
    if found:
        order = np.random.default_rng(0).permutation(len(found))
        return "rt-polarity", "\n".join(found[at] for at in order)
    loaders = (load_breast_cancer, load_iris, load_digits, load_wine, load_diabetes)
    lines = [line.strip() for load in loaders for line in load().DESCR.split("\n")]
    text = "\n".join(line for line in lines if line)
    return "scikit-learn's descriptions", text.lower()


def read_lines(path: Path) -> list[str]:
    """The lines of a latin-1 text that hold anything.

    Only a line feed ends one: `str.splitlines` also cuts at the byte 0x85, which these
    texts use as an ellipsis.
    """
    lines = path.read_text("latin-1").split("\n")
    return [line.strip() for line in lines if line.strip()]
