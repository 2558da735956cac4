"""``python -m tests.surface`` writes docs/surface.md."""

from __future__ import annotations

from tests.surface.page import PAGE, rendered

PAGE.write_text(rendered())
