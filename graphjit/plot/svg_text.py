"""A diagram as SVG text: standalone, without scripts, styles or links."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from graphjit.plot.diagram import Box, Diagram
from graphjit.plot.layering import Point, Size, arrange

__all__ = ["svg_text"]

_CHARACTER: Final = 7.5  # pixels, of the widest common monospace font at 12 px
_LINE: Final = 16
_PAD: Final = 8
_MARGIN: Final = 12
_LONGEST: Final = 48
_INK: Final = "#202124"
_LINES: Final = "#5f6368"

#: What XML 1.0 cannot hold, not even escaped.
_FORBIDDEN: Final = re.compile(
    "[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)


def svg_text(diagram: Diagram, title: str) -> str:
    """The whole picture."""
    drawn = _drawn(diagram)
    width, height = (_number(side + 2 * _MARGIN) for side in drawn.size)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="monospace" font-size="12">',
        f"<title>{_escaped(title)}</title>",
        '<defs><marker id="graphjit-arrow" viewBox="0 0 8 8" refX="7" refY="4" '
        'markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{_LINES}"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *drawn.lines((_MARGIN, _MARGIN)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A diagram with its places, not yet moved to where it stands."""

    size: Size
    boxes: Sequence[_DrawnBox]
    corners: Sequence[Point]
    routes: Sequence[Sequence[Point]]

    def lines(self, at: Point) -> list[str]:
        found: list[str] = []
        for route in self.routes:
            found.append(_arrow([(x + at[0], y + at[1]) for x, y in route]))
        for box, (x, y) in zip(self.boxes, self.corners, strict=True):
            found += box.lines((x + at[0], y + at[1]))
        return found


@dataclass(frozen=True, slots=True)
class _DrawnBox:
    box: Box
    texts: tuple[str, ...]
    size: Size
    inside: _Drawn | None

    def lines(self, at: Point) -> list[str]:
        x, y = at
        width, height = self.size
        fill = "#e8f0fe" if self.box.end else "#f1f3f4" if self.inside else "#ffffff"
        found = [
            "<g>",
            f"<title>{_escaped(self.box.note)}</title>" if self.box.note else "",
            f'<rect x="{_number(x)}" y="{_number(y)}" width="{_number(width)}" '
            f'height="{_number(height)}" rx="4" fill="{fill}" stroke="{_LINES}"/>',
        ]
        middle = _number(x + width / 2)
        for number, text in enumerate(self.texts):
            weight = ' font-weight="bold"' if number == 0 else ""
            below = _number(y + _PAD + _LINE * (number + 0.75))
            found.append(
                f'<text x="{middle}" y="{below}" text-anchor="middle" '
                f'fill="{_INK}"{weight}>{_escaped(text)}</text>'
            )
        if self.inside is not None:
            left = x + (width - self.inside.size[0]) / 2
            top = y + 2 * _PAD + _LINE * len(self.texts)
            found += self.inside.lines((left, top))
        return [line for line in [*found, "</g>"] if line]


def _drawn(diagram: Diagram) -> _Drawn:
    boxes = [_drawn_box(box) for box in diagram.boxes]
    arranged = arrange([box.size for box in boxes], diagram.arrows)
    return _Drawn(arranged.size, boxes, arranged.corners, arranged.routes)


def _drawn_box(box: Box) -> _DrawnBox:
    texts = tuple(_shortened(text) for text in (box.title, *box.lines))
    width = _CHARACTER * max(map(_columns, texts)) + 2 * _PAD
    height = _LINE * len(texts) + 2 * _PAD
    inside = None if box.inside is None else _drawn(box.inside)
    if inside is not None:
        width = max(width, inside.size[0] + 2 * _PAD)
        height += inside.size[1] + _PAD
    return _DrawnBox(box, texts, (width, height), inside)


def _arrow(points: Sequence[Point]) -> str:
    """Straight down through each rank, curved between them."""
    x, y = points[0]
    path = f"M{_number(x)} {_number(y)}"
    for number, (to_x, to_y) in enumerate(points[1:]):
        if number % 2 or to_x == x:
            path += f"L{_number(to_x)} {_number(to_y)}"
        else:
            half = _number((y + to_y) / 2)
            path += f"C{_number(x)} {half} {_number(to_x)} {half} "
            path += f"{_number(to_x)} {_number(to_y)}"
        x, y = to_x, to_y
    return (
        f'<path d="{path}" fill="none" stroke="{_LINES}" '
        'marker-end="url(#graphjit-arrow)"/>'
    )


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _columns(text: str) -> int:
    """How wide a text is in a monospace font; ideographs take two columns."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _shortened(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _LONGEST else f"{flat[: _LONGEST - 1]}…"


def _escaped(text: str) -> str:
    return html.escape(_FORBIDDEN.sub("\ufffd", text))
