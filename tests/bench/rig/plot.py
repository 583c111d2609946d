"""Results as an SVG: a bar for each path, TCP over IPv4."""

from html import escape

from .results import Results
from .table import COMPARED

WIDTH, LEFT, RIGHT, TOP, STEP, BAR = 900, 300, 70, 64, 30, 10
STYLE = (
    "text{font:13px sans-serif;fill:#222}.small{font-size:11px;fill:#666}.own{font-weight:bold}"
    ".control{fill:#c8c8c8}.existing{fill:#5b7fa6}.new{fill:#b9cadd}.own-existing{fill:#d9541e}.own-new{fill:#f3b99f}"
)


def svg(results: Results) -> str:
    """The plot: what the source and sink cost in grey, the way between them in colour."""
    paths = []
    for path, title in results.titles.items():
        existing = results.find(path, "forward", "tcp4") or results.find(path, "routed", "tcp4")
        if existing and (path in COMPARED or not path.startswith(("halod", "not-halod", "control"))):
            new = results.find(path, "new", "tcp4")
            paths.append((existing.figure, new.figure if new else None, path, title))
    paths.sort()
    control = results.find("control", "forward", "tcp4")
    base = control.figure if control else 0.0
    most = max(max(existing, new or 0.0) for existing, new, _, _ in paths)
    scale = (WIDTH - LEFT - RIGHT) / most
    height = TOP + STEP * len(paths) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        f"<style>{STYLE}</style>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        '<text x="12" y="24" style="font-size:16px">Instructions a packet, TCP over IPv4</text>',
        f'<text x="12" y="44" class="small">upper bar: existing flow, lower: new flow; grey: source and sink; kernel {escape(results.kernel)}</text>',
    ]
    for index, (existing, new, path, title) in enumerate(paths):
        y = TOP + STEP * index
        own = "own-" if path in COMPARED else ""
        label = ' class="own"' if own else ""
        parts.append(f'<text x="{LEFT - 8}" y="{y + BAR + 4}" text-anchor="end"{label}>{escape(title)}</text>')
        for row, (figure, kind) in enumerate(((existing, "existing"), (new, "new"))):
            if figure is None:
                continue
            top = y + row * (BAR + 1)
            parts += [
                f'<rect class="control" x="{LEFT}" y="{top}" width="{base * scale:.1f}" height="{BAR}"/>',
                f'<rect class="{own}{kind}" x="{LEFT + base * scale:.1f}" y="{top}" width="{(figure - base) * scale:.1f}" height="{BAR}"/>',
                f'<text class="small" x="{LEFT + figure * scale + 5:.1f}" y="{top + BAR - 1}">{figure:,.0f}</text>',
            ]
    return "\n".join([*parts, "</svg>"]) + "\n"
