"""What every report is made of: one HTML file that holds all it shows and loads nothing.

`report_look.jinja` has the style sheet, `report_pieces.jinja` the macros.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs


def rendered(template: str, **content: Any) -> str:
    """A whole HTML document. Everything in it that came from data is escaped.

    Args:
        template: File beside this one.
        content: What the template asks for, besides `draw` and `plotly`.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": _duration, "bytes": _bytes, "number": "{:,}".format}
    environment.filters["unbroken"] = _unbroken
    return environment.get_template(template).render(
        # Safe: the library's own file, and figures that `_drawn` writes as escaped JSON.
        plotly=Markup(get_plotlyjs()),  # noqa: S704
        draw=_drawn,
        **content,
    )


def _drawn(figure: go.Figure, label: str) -> Markup:
    """A place for a figure with its data; the script at the end of the page draws it there."""
    # Plotly writes "<" as \u003c, so that no text in a figure can end the script element.
    content = Markup(figure.to_json())  # noqa: S704
    return Markup(
        '<div class="figure" role="img" aria-label="{}" style="min-height:{}px">'
        '<script type="application/json">{}</script></div>'
    ).format(label, figure.layout.height, content)


def _unbroken(text: str) -> str:
    """A sentence in which no number is parted from its sign of percent."""
    return text.replace(" %", "\u00a0%")


def _duration(seconds: float) -> str:
    """Time as people say it: 8 s, 3 min 20 s, 1 h 05 min."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _bytes(size: float) -> str:
    return f"{size / 2**20:,.0f} MiB" if size < 2**30 else f"{size / 2**30:.1f} GiB"
