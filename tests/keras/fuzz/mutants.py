"""What is made of an original, by a number alone: each mutant can come back."""

from __future__ import annotations

import io
import json
import random
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import h5py

from tests.keras.fuzz import byte_mutations, harmless, hdf5_mutations, json_mutations
from tests.keras.fuzz.originals import Original

__all__ = ["Mutant", "mutant"]


@dataclass(frozen=True)
class Mutant:
    """A file to be loaded.

    Attributes:
        original: What it was made of.
        kind: How, in a word.
        done: How, in full.
        path: The file.
        given: What else `load_model` is given.
        is_harmless: Whether it says what the original says.
    """

    original: Original
    kind: str
    done: str
    path: Path
    given: dict[str, Any] = field(default_factory=dict[str, Any])
    is_harmless: bool = False


def mutant(
    number: int, seed: int, originals: Sequence[Original], folder: Path
) -> Mutant:
    """The mutant of that number and seed, written into the folder."""
    rng = random.Random(f"{seed}:{number}")
    original = rng.choice(originals)
    path = folder / f"mutant{original.path.suffix}"
    path.unlink(missing_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return rng.choice(_KINDS)(original, rng, originals, path)


# --- kinds ----------------------------------------------------------------------


def _config(
    original: Original, rng: random.Random, originals: Sequence[Original], path: Path
) -> Mutant:
    """A changed configuration in the place of the old one."""
    others = [rng.choice(originals).root for _ in range(3)]
    text, done = json_mutations.mutated_text(original.root, rng, others)
    _put_text(original, "model_config", text, path)
    return Mutant(original, "config", done, path, _backend(original))


def _beside(
    original: Original, rng: random.Random, originals: Sequence[Original], path: Path
) -> Mutant:
    """A changed configuration beside an untouched file of weights."""
    others = [rng.choice(originals).root for _ in range(3)]
    text, done = json_mutations.mutated_text(original.root, rng, others)
    target = path.with_name("mutant.json")
    # A byte that is no UTF-8 stands for a surrogate that JSON did not escape.
    target.write_bytes(text.encode(errors="surrogatepass"))
    given = {"weights": original.path, **_backend(original)}
    return Mutant(original, "beside", done, target, given)


def _training(
    original: Original, rng: random.Random, originals: Sequence[Original], path: Path
) -> Mutant:
    """A changed training configuration."""
    if original.is_zip:
        return _config(original, rng, originals, path)
    with h5py.File(original.path) as file:
        text: Any = file.attrs.get("training_config", _TRAINING)
    made, done = json_mutations.mutated_text(json.loads(text), rng, [])
    _put_text(original, "training_config", made, path)
    return Mutant(original, "training", done, path, _backend(original))


def _hdf5(
    original: Original, rng: random.Random, _: Sequence[Original], path: Path
) -> Mutant:
    if original.is_zip:
        with zipfile.ZipFile(io.BytesIO(original.data)) as archive:
            stored = io.BytesIO(archive.read(_WEIGHTS))
        with h5py.File(stored, "r+") as file:
            done = hdf5_mutations.mutate(file, rng)
        path.write_bytes(_with_member(original.data, _WEIGHTS, stored.getvalue()))
    else:
        path.write_bytes(original.data)
        with h5py.File(path, "r+") as file:
            done = hdf5_mutations.mutate(file, rng)
    return Mutant(original, "hdf5", done, path, _backend(original))


def _bytes(
    original: Original, rng: random.Random, _: Sequence[Original], path: Path
) -> Mutant:
    if original.is_zip and rng.random() < 0.5:
        # In the file of weights, with the zip's checksum as it should be.
        with zipfile.ZipFile(io.BytesIO(original.data)) as archive:
            stored = archive.read(_WEIGHTS)
        inner, done = byte_mutations.mutated_bytes(stored, rng)
        path.write_bytes(_with_member(original.data, _WEIGHTS, inner))
        return Mutant(original, "bytes inside", done, path, _backend(original))
    made, done = byte_mutations.mutated_bytes(original.data, rng)
    path.write_bytes(made)
    return Mutant(original, "bytes", done, path, _backend(original))


def _zip(
    original: Original, rng: random.Random, originals: Sequence[Original], path: Path
) -> Mutant:
    if not original.is_zip:
        return _hdf5(original, rng, originals, path)
    made, done = byte_mutations.mutated_zip(original.data, rng)
    path.write_bytes(made)
    return Mutant(original, "zip", done, path, _backend(original))


def _other_weights(
    original: Original, rng: random.Random, originals: Sequence[Original], path: Path
) -> Mutant:
    """The weights of another model."""
    other = rng.choice(originals)
    path.write_bytes(original.data)
    given = {"weights": other.path, **_backend(original)}
    return Mutant(original, "other weights", other.path.name, path, given)


def _harmless(
    original: Original, rng: random.Random, _: Sequence[Original], path: Path
) -> Mutant:
    text = harmless.rewritten_json(original.root, rng)
    done = "text"
    if original.is_zip:
        _put_text(original, "model_config", text, path)
        path.write_bytes(harmless.rewritten_zip(path.read_bytes(), rng))
    elif rng.random() < 0.5:
        path.write_bytes(original.data)
        with h5py.File(path, "r+") as file:
            done = harmless.rewrite_hdf5(file, rng)
    else:
        _put_text(original, "model_config", text, path)
    given = _backend(original)
    return Mutant(original, "harmless", done, path, given, is_harmless=True)


_Kind = Callable[[Original, random.Random, Sequence[Original], Path], Mutant]
_KINDS: Final[tuple[_Kind, ...]] = (
    *(_config, _config, _config, _beside, _beside, _training, _hdf5, _hdf5, _hdf5),
    *(_bytes, _bytes, _zip, _other_weights, _harmless),
)

# --- writing --------------------------------------------------------------------

_WEIGHTS: Final = "model.weights.h5"
_TRAINING: Final = json.dumps(
    {
        "loss": "categorical_crossentropy",
        "metrics": ["accuracy"],
        "loss_weights": None,
        "sample_weight_mode": None,
        "optimizer_config": {
            "class_name": "Adam",
            "config": {"lr": 0.001, "beta_1": 0.9, "decay": 0.1, "epsilon": 1e-7},
        },
    }
)


def _backend(original: Original) -> dict[str, Any]:
    return {} if original.backend is None else {"backend": original.backend}


def _put_text(original: Original, name: str, text: str, path: Path) -> None:
    """A copy of the original with another configuration."""
    if original.is_zip:
        content = text.encode(errors="surrogatepass")
        path.write_bytes(_with_member(original.data, "config.json", content))
        return
    path.write_bytes(original.data)
    content = text.encode(errors="surrogatepass")
    with h5py.File(path, "r+", track_order=False) as file:
        if name in file.attrs:
            del file.attrs[name]
        kind: Any = np_bytes(content) if len(content) < 60000 else h5py_text(content)
        file.attrs[name] = kind


def np_bytes(content: bytes) -> Any:
    """A string of fixed length, as Keras wrote most of them."""
    import numpy as np

    return np.bytes_(content.replace(b"\0", b""))


def h5py_text(content: bytes) -> Any:
    """A string of variable length, which may be longer."""
    return content.decode(errors="replace").replace("\0", "")


def _with_member(data: bytes, name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as old,
        zipfile.ZipFile(out, "w") as made,
    ):
        for info in old.infolist():
            kept = content if info.filename == name else old.read(info)
            made.writestr(info.filename, kept)
    return out.getvalue()
