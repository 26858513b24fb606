"""Bars in groups, as an SVG written by hand: no library is worth its weight here."""

from collections.abc import Mapping

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 640, 360, 60, 50, 60
_COLOURS = ("#0b5cad", "#c2571a", "#5a8f29", "#999999")


def bars(title: str, values: Mapping[str, Mapping[str, float]]) -> str:
    """Return a drawing of values by series and group; a line stands at 100."""
    groups = list(dict.fromkeys(group for of in values.values() for group in of))
    most = max(100.0, *(value for of in values.values() for value in of.values())) * 1.1
    room = (_WIDTH - _LEFT - 20) / len(groups)
    width = room * 0.8 / len(values)

    def down(value: float) -> float:
        return _HEIGHT - _BOTTOM - value / most * (_HEIGHT - _BOTTOM - _TOP)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}">',
        "<style>text { font: 12px sans-serif }</style>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="20">{title}</text>',
        f'<path d="M{_LEFT} {down(100):.1f}H{_WIDTH - 20}" stroke="#333" stroke-dasharray="4"/>',
        f'<text x="{_LEFT - 8}" y="{down(100) + 4:.1f}" text-anchor="end">100</text>',
    ]
    for number, (series, of) in enumerate(values.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        parts.append(f'<text x="{_LEFT + number * 130}" y="42" fill="{colour}">{series}</text>')
        for group, value in of.items():
            x = _LEFT + groups.index(group) * room + room * 0.1 + number * width
            parts.append(
                f'<rect x="{x:.1f}" y="{down(value):.1f}" width="{width - 2:.1f}" '
                f'height="{_HEIGHT - _BOTTOM - down(value):.1f}" fill="{colour}"/>'
            )
    parts += [
        f'<text x="{_LEFT + (at + 0.5) * room:.1f}" y="{_HEIGHT - 25}" text-anchor="middle">'
        f"{group.replace('_', ' ')}</text>"
        for at, group in enumerate(groups)
    ]
    return "\n".join([*parts, "</svg>\n"])
