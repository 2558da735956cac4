"""Nothing that the documents name is missing, misplaced, or untested."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest

import graphjit as gj
from tests.conftest import ROOT
from tests.surface.documents import (
    DOCUMENTS,
    Document,
    Signature,
    parameters,
    signatures,
)
from tests.surface.page import PAGE, rendered
from tests.surface.usage import used

EACH = pytest.mark.parametrize(
    ("document", "signature"),
    [
        pytest.param(document, signature, id=f"{document.title}-{signature.layer}")
        for document in DOCUMENTS
        for signature in signatures(document)
    ],
)

#: Defaults that were decided otherwise than the document says, and why.
DECIDED = {
    # keras-surface: the configured format, as of all other layers.
    ("Conv2DTranspose", "data_format"): None,
}


@EACH
def test_arguments_stand_where_the_document_has_them(
    document: Document, signature: Signature
) -> None:
    taken = parameters(getattr(document.owner, signature.layer))
    wanted = [name for name, _ in signature.arguments]
    assert list(taken)[: len(wanted)] == wanted


@EACH
def test_defaults_are_the_documents(document: Document, signature: Signature) -> None:
    taken = parameters(getattr(document.owner, signature.layer))
    for name, written in signature.arguments:
        found = taken[name].default
        if (signature.layer, name) in DECIDED:
            assert found is DECIDED[signature.layer, name]
        elif written is None:
            assert found is taken[name].empty, name
        else:
            assert _plain(found) == _plain(ast.literal_eval(written)), name


def _plain(value: Any) -> Any:
    """A default in one form: a list is a tuple, a size for all axes is one number."""
    if isinstance(value, (list, tuple)):
        items = tuple(_plain(item) for item in value)
        return items[0] if items and len(set(items)) == 1 else items
    return value


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.title)
def test_every_argument_is_given_by_a_test(document: Document) -> None:
    listed = signatures(document)
    layers = {s.layer: getattr(document.owner, s.layer) for s in listed}
    usage = used(layers, keras1=document.owner is gj.keras1)
    untested = [
        f"{signature.layer}({name})"
        for signature in listed
        for name, _ in signature.arguments
        if not usage.get((signature.layer, name))
    ]
    assert untested == []


def test_the_page_says_what_is_true_now() -> None:
    assert PAGE.read_text() == rendered(), "run: python -m tests.surface"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.title)
def test_the_signatures_are_the_documents(document: Document) -> None:
    path = ROOT.parent / "shared" / "reference" / document.source
    if not path.exists():
        pytest.skip("the reference documents are not here")
    lines = map(str.strip, path.read_text().splitlines())
    pattern = re.compile(r"keras\.[a-z_.]*\.([A-Z]\w*\(.*\))$")
    written = [found[1] for line in lines if (found := pattern.match(line))]
    assert written == (
        (PAGE.parent.parent / "tests" / "surface" / document.file)
        .read_text()
        .splitlines()
    )
