"""Frame of all pages: one style, one script, the policy that names their hashes, and small parts."""

from __future__ import annotations

from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.core.text import content_policy, counted, printable

if TYPE_CHECKING:
    import jinja2

ASSETS, TEMPLATES = Path(__file__).parent / "assets", Path(__file__).parent / "templates"


@cache
def code() -> tuple[str, str]:
    """The style and the script of every page."""
    places = "".join(f".l{i}{{left:{i}%}}.w{i}{{width:{i}%}}" for i in range(101))
    shades = "".join(f".s{i}{{background:rgb(0 114 178/{i * 0.0375:.4g})}}" for i in range(21))
    style = (ASSETS / "page.css").read_text(encoding="utf-8") + places + shades
    return style, (ASSETS / "page.js").read_text(encoding="utf-8")


@cache
def page_environment(*folders: Path) -> jinja2.Environment:
    """Templates in ``folders`` and those that all pages share, with everything escaped; read once."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=seen,
    )
    style, script = code()
    environment.globals |= {
        "style": Markup(style),  # noqa: S704  # nosec B704 - our own file
        "script": Markup(script),  # noqa: S704  # nosec B704 - our own file
        "counted": counted,
        "policy": Markup(content_policy(style, script)),  # noqa: S704  # nosec B704 - hashes
    }
    return environment


def seen(value: Any) -> Any:
    """A value as a page shows it: characters that are not seen are written out, our own markup stays."""
    if isinstance(value, str) and not hasattr(value, "__html__") and not value.startswith("data:image/"):
        return printable(value, None)
    return value


def whisker(value: float, low: float | None, high: float | None, span: tuple[float, float]) -> str:
    """Markup of an interval as a bar with its estimate as a stroke, between the two ends of a column.

    Args:
        value: the estimate.
        low: lower end of the interval.
        high: upper end.
        span: what the left and the right edge of the cell stand for.
    """
    if low is None or high is None:
        return ""
    size = span[1] - span[0] or 1.0

    def place(number: float) -> int:
        return round(100 * min(1.0, max(0.0, (number - span[0]) / size)))

    left = place(low)
    width = max(1, place(high) - left)
    return (
        f'<span class="iv" aria-hidden="true"><i class="l{left} w{width}"></i>'
        f'<b class="l{place(value)}"></b></span>'
    )


def words(text: str) -> str:
    """Words from elsewhere as they stand in markup."""
    return escape(printable(text, None))
