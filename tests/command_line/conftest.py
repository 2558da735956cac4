"""The files that all tests of the command line read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.command_line import files


@pytest.fixture(scope="session", autouse=True)
def _files() -> Iterator[None]:
    shutil.rmtree(files.FOLDER, ignore_errors=True)  # of a run that was killed
    files.write()
    yield
    shutil.rmtree(files.FOLDER)
