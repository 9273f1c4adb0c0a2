"""Drawings of the page of definitions: the pair of masks, and the values that namesakes have on it."""

from xml.sax.saxutils import escape

ROW, LABEL, BAR, VALUE = 22, 300, 300, 110
BOTH, REFERENCE, PREDICTION = "#4c78a8", "#a0cbe8", "#f58518"


def pair_svg(sample):
    """Both masks as one drawing, in a colour where both are and in one for each alone."""
    rows, columns = sample.reference.shape
    cells = []
    for row in range(rows):
        for column in range(columns):
            own, other = sample.reference[row, column], sample.prediction[row, column]
            if own or other:
                fill = BOTH if own and other else REFERENCE if own else PREDICTION
                cells.append(f'<rect x="{column}" y="{row}" width="1" height="1" fill="{fill}"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {columns} {rows}" width="{12 * columns}" '
        f'height="{12 * rows}"><rect width="{columns}" height="{rows}" fill="#fff" stroke="#888" '
        f'stroke-width="0.1"/>{"".join(cells)}</svg>\n'
    )


def namesakes(values):
    """Name before the first dot -> its definitions with their values, of names that several have."""
    groups = {}
    for id, value in values.items():
        groups.setdefault(id.partition(".")[0], {})[id] = value
    return {name: group for name, group in groups.items() if len(group) > 1}


def bars_svg(values):
    """Values of definitions as bars of one scale; a word stands where a definition has no value.

    Args:
        values: id -> number, or a word.
    """
    largest = max((abs(value) for value in values.values() if not isinstance(value, str)), default=0) or 1
    height, lines = ROW * len(values), []
    for place, (id, value) in enumerate(values.items()):
        middle = ROW * place + 15
        lines.append(f'<text x="{LABEL - 8}" y="{middle}" text-anchor="end">{escape(id)}</text>')
        width = 0 if isinstance(value, str) else BAR * abs(value) / largest
        lines.append(f'<rect x="{LABEL}" y="{ROW * place + 3}" width="{width:.1f}" height="{ROW - 6}"/>')
        text = value if isinstance(value, str) else f"{value:.4f}"
        lines.append(f'<text x="{LABEL + width + 8:.1f}" y="{middle}">{escape(text)}</text>')
    size = LABEL + BAR + VALUE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {height}" width="{size}" '
        f'height="{height}" font-family="sans-serif" font-size="13"><style>text{{fill:#333}}'
        f"rect{{fill:{BOTH}}}"
        "@media(prefers-color-scheme:dark){text{fill:#ddd}}</style>"
        f"{''.join(lines)}</svg>\n"
    )
