"""Configurations led by coverage: ``python -m tests.keras.fuzz.coverage -runs=100000``.

It needs the package atheris, which no other test does, and takes libFuzzer's options.
What libFuzzer keeps are configurations; what it changes, `json_mutations` changes, so
that nearly every text is JSON and reaches the reader.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["graphjit.keras", "graphjit.capture"]):
    import graphjit as gj
from graphjit.errors import GraphJitError
from tests.keras.fuzz.__main__ import corpus
from tests.keras.fuzz.json_mutations import mutated_text
from tests.keras.fuzz.originals import originals_in


def one(data: bytes) -> None:
    """Read one text: a model or an error of ours, whose cause was foreseen."""
    try:
        model = gj.keras.load_model(data)
    except GraphJitError as error:
        str(error).encode()
        if error.__cause__ is not None and "is malformed" in str(error):
            raise
        return
    gj.verify(model.graph)


def main() -> None:
    """Run libFuzzer on the corpus's configurations."""
    warnings.simplefilter("error")
    roots = [original.root for original in originals_in([corpus() / "models"])]

    def change(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        try:
            root: Any = json.loads(data)
        except ValueError:
            root = rng.choice(roots)
        text, _ = mutated_text(root, rng, roots)
        made = text.encode(errors="surrogatepass")
        return made if len(made) <= most else json.dumps(rng.choice(roots)).encode()

    with tempfile.TemporaryDirectory(prefix="graphjit-coverage-") as folder:
        for at, root in enumerate(roots):
            Path(folder, str(at)).write_bytes(json.dumps(root).encode())
        options = [sys.argv[0], folder, "-max_len=200000", "-timeout=60"]
        os.environ.setdefault("GRAPHJIT_HOME", os.devnull)
        atheris.Setup([*options, *sys.argv[1:]], one, custom_mutator=change)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
