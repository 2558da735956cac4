"""The texts of errors: one shape, printable, and never longer than a screen."""

from __future__ import annotations

import pytest

from graphjit.errors import DataError, FormatError, GraphJitError, nearest


def test_the_shape_of_a_message() -> None:
    error = FormatError("what", details=["one", "two"], hint="do this")
    assert str(error) == "what\n  one\n  two\n  hint: do this"
    assert str(DataError("what")) == "what"


def test_long_texts_lose_their_middle() -> None:
    error = GraphJitError("a" + "x" * 10**7 + "b", hint="y" * 10**6)
    assert error.message.startswith("axx")
    assert error.message.endswith("xxb")
    assert "x … (9996002 characters left out) … x" in error.message
    assert error.hint is not None
    assert len(str(error)) < 10_000


def test_many_details_are_cut() -> None:
    error = GraphJitError("what", details=(f"line {at}" for at in range(10**6)))
    assert len(error.details) == 200
    assert error.details[-1] == "line 199"


@pytest.mark.parametrize("part", ["message", "details", "hint"])
def test_half_a_character_can_be_printed(part: str) -> None:
    texts = {"message": "what", part: "\ud800" if part != "details" else ["\ud800"]}
    message = texts.pop("message")
    error = GraphJitError(message, **texts)  # pyright: ignore[reportArgumentType]
    assert "\\ud800" in str(error).encode().decode()


def test_long_names_resemble_nothing() -> None:
    assert nearest("rellu", ["relu"]) == "relu"
    assert nearest("relu" * 10**6, ["relu"]) is None
