"""Grouped bars, and lines, as SVG. It is simple enough to need no library."""

from collections.abc import Mapping

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 640, 360, 60, 50, 60
_COLOURS = ("#0b5cad", "#c2571a", "#5a8f29", "#999999")
_STEPS = 5

Values = Mapping[str, Mapping[str, float]]
"""The values by series, and by group in each."""


class _Paper:
    """A drawing with a title, a legend, and the groups from left to right."""

    def __init__(self, title: str, values: Values, most: float) -> None:
        self._most = most * 1.1
        self._groups = list(dict.fromkeys(group for of in values.values() for group in of))
        self.room = (_WIDTH - _LEFT - 20) / len(self._groups)
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}">',
            "<style>text { font: 12px sans-serif }</style>",
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
            f'<text x="{_LEFT}" y="20">{title}</text>',
        ]
        for number, series in enumerate(values):
            place = f'x="{_LEFT + number * 130}" y="42" fill="{_COLOURS[number]}"'
            self.parts.append(f"<text {place}>{series}</text>")
        for group in self._groups:
            x = self.across(group) + self.room / 2
            self.parts.append(
                f'<text x="{x:.1f}" y="{_HEIGHT - 25}" text-anchor="middle">'
                f"{group.replace('_', ' ')}</text>"
            )

    def across(self, group: str) -> float:
        """Return the x coordinate at which a group begins."""
        return _LEFT + self._groups.index(group) * self.room

    def down(self, value: float) -> float:
        """Return the y coordinate of a value."""
        return _HEIGHT - _BOTTOM - value / self._most * (_HEIGHT - _BOTTOM - _TOP)

    def rule(self, value: float, style: str) -> None:
        """Draw a horizontal line at a value, with its number."""
        y = self.down(value)
        self.parts += [
            f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - 20}" {style}/>',
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.0f}</text>',
        ]

    def text(self) -> str:
        """Return the finished drawing."""
        return "\n".join([*self.parts, "</svg>\n"])


def bars(title: str, values: Values) -> str:
    """Return a bar chart of values by series and group, with a line at 100."""
    paper = _Paper(title, values, max(100.0, _most(values)))
    paper.rule(100, 'stroke="#333" stroke-dasharray="4"')
    width = paper.room * 0.8 / len(values)
    for number, of in enumerate(values.values()):
        for group, value in of.items():
            x, y = paper.across(group) + paper.room * 0.1 + number * width, paper.down(value)
            paper.parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{width - 2:.1f}" '
                f'height="{_HEIGHT - _BOTTOM - y:.1f}" fill="{_COLOURS[number]}"/>'
            )
    return paper.text()


def lines(title: str, values: Values) -> str:
    """Return a line chart of values by series over the groups, from 0."""
    most = _most(values)
    paper = _Paper(title, values, most)
    for step in range(_STEPS + 1):
        paper.rule(most * step / _STEPS, 'stroke="#ddd"')
    for colour, of in zip(_COLOURS, values.values(), strict=False):
        places = [
            (paper.across(group) + paper.room / 2, paper.down(value)) for group, value in of.items()
        ]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        paper.parts.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        paper.parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places
        ]
    return paper.text()


def _most(values: Values) -> float:
    return max(value for of in values.values() for value in of.values())
