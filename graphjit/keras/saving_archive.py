"""Writing a `.keras` file: a zip of a configuration, who wrote it, and weights.

Keras finds weights by walking a model's layers: those of a model by class and number
below ``layers``, those inside of other layers under the attribute that holds them, the
variables of each below ``vars``. What is shared is written where it is met first.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from graphjit.capture.snake_case import snake_case
from graphjit.formats import extras, model_text
from graphjit.formats.atomic import replacing
from graphjit.formats.keras_weights import storable
from graphjit.keras.notes import Notes
from graphjit.keras.saving_form import KERAS_3_VERSION
from graphjit.keras.saving_written import Written

__all__ = ["apart", "number_shared", "numbered", "save_archive"]

#: In the place of a date, so that equal models give equal bytes.
_DATE: Final = (1980, 1, 1, 0, 0, 0)
_SHARED: Final = "shared_object_id"


def save_archive(
    path: str | os.PathLike[str],
    root: Mapping[str, Any],
    written: Written,
    shared: frozenset[object],
    optimizer: Mapping[str, Any] | None,
) -> None:
    """Write the file; a crash leaves the old one or the new one.

    Args:
        path: Where.
        root: The configuration's outermost dictionary.
        written: The model, for its weights.
        shared: Native layers whose weights are written once.
        optimizer: Its variables in Keras's order, by number; None where there is none.

    Raises:
        ImportError: h5py is not installed.
        OSError: The file cannot be written.
    """
    members = {
        "metadata.json": model_text.json_text({"keras_version": KERAS_3_VERSION}),
        "config.json": model_text.json_text(root),
        "model.weights.h5": _weights(written, shared, optimizer),
    }
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, _DATE)
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)


def number_shared(written: Written, notes: Notes) -> frozenset[object]:
    """Mark layers that stand at several places as one, where Keras can read that.

    Keras counts calls of a layer over all models that hold it, so one that is in a
    model and in another inside of that becomes two layers, and a note says so.

    Returns:
        The native layers that stay one.
    """
    places: dict[object, list[Written]] = {}
    homes: dict[object, set[object]] = {}

    def visit(part: Written, home: object) -> None:
        found = places.setdefault(part.source, [])
        found.append(part)
        homes.setdefault(part.source, set()).add(home)
        if len(found) == 1:
            inner = home if part.layers is None else part.source
            for inside in part.parts():
                visit(inside, inner)

    visit(written, None)
    shared: list[object] = []
    for source, found in places.items():
        if len(found) > 1 and len(homes[source]) > 1:
            notes.add(apart(found[0].name))
        elif len(found) > 1:
            shared.append(source)
            for part in found:
                part.entry[_SHARED] = len(shared)
    return frozenset(shared)


def apart(name: str) -> str:
    """What is said of a layer that becomes several."""
    return f"{name} stands at several places: in the file they are layers of their own"


# --- weights ----------------------------------------------------------------------


def _weights(
    written: Written,
    shared: frozenset[object],
    optimizer: Mapping[str, Any] | None,
) -> bytes:
    h5py = extras.h5py()
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as root:
        _Writer(shared).write(root, "", written)
        if optimizer is not None:
            group = root.create_group("optimizer/vars")
            for name, array in optimizer.items():
                group.create_dataset(name, data=array)
    return buffer.getvalue()


class _Writer:
    """Writes the variables of layers; of one that is shared where it is met first."""

    def __init__(self, shared: frozenset[object]) -> None:
        self._left = set(shared)
        self._done: set[object] = set()

    def write(self, parent: Any, name: str, written: Written) -> None:
        """The group of a layer, and those of what is inside of it."""
        if written.source in self._done:
            return
        if written.source in self._left:
            self._done.add(written.source)
        group = parent.create_group(name) if name else parent
        own = group.create_group("vars")
        if written.name:
            own.attrs["name"] = written.name
        for at, weight in enumerate(written.weights):
            own.create_dataset(str(at), data=storable(weight.array))
        if written.layers is not None:
            container = group.create_group("layers")
            for stem, part in numbered(written.layers):
                self.write(container, stem, part)
        for place, part in written.inside:
            self.write(group, place, part)


def numbered(parts: Sequence[Written]) -> Iterator[tuple[str, Written]]:
    """Layers by what Keras calls them in a list: their class, and a number."""
    counts = Counter[str]()
    for part in parts:
        stem = snake_case(part.class_name)
        yield f"{stem}_{counts[stem]}" if counts[stem] else stem, part
        counts[stem] += 1
