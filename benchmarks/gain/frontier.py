"""What each method bought of the gold reward, and how far from the start it went for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.colors import qualitative

from evaluation.figures import GRID, styled


def draw(rows: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Write the frontier as a page of HTML that needs nothing else.

    A line follows a policy while it learns, over the prompts that the gold model watches, as far
    above its first look; a dot with its 95 % interval is the finished policy, over the prompts that
    were held out.

    Args:
        rows: Of the benchmark: `method`, `kl` (None where the method does not measure it),
            `gold_gain`, `frontier`.
        file: Where to; what is there is replaced.

    Source:
        Gao et al. (2023), arXiv:2210.10760, figure 1, who take the root of the divergence.
    """
    figure = go.Figure()
    for row, colour in zip(rows, cycle(qualitative.Safe), strict=False):
        seen = row["frontier"]
        if seen:
            figure.add_scatter(
                x=[one["kl"] for one in seen],
                y=[one["gold"] - seen[0]["gold"] for one in seen],
                mode="lines",
                line={"color": colour, "width": 1.6},
                opacity=0.7,
                showlegend=False,
                hovertemplate="%{x:.1f} nats: %{y:+.2f}<extra>" + row["method"] + "</extra>",
            )
        if row["kl"] is None:
            continue
        gain = row["gold_gain"]
        figure.add_scatter(
            x=[row["kl"]],
            y=[gain["value"]],
            error_y={
                "array": [gain["high"] - gain["value"]],
                "arrayminus": [gain["value"] - gain["low"]],
                "thickness": 1.2,
            },
            mode="markers",
            marker={"color": colour, "size": 10},
            name=row["method"],
            hovertemplate="%{x:.1f} nats: %{y:+.2f}<extra>" + row["method"] + "</extra>",
        )
    styled(figure, height=520, x_title="divergence from the SFT model, nats per answer")
    figure.update_layout(
        width=860,
        showlegend=True,
        legend={"orientation": "v", "x": 1.02, "xanchor": "left", "y": 1, "yanchor": "top"},
        margin={"l": 64, "r": 14, "t": 20, "b": 48},
        paper_bgcolor="white",
    )
    figure.update_yaxes(
        title_text="gold reward above the SFT model's, standard deviations", zerolinecolor="#73838e"
    )
    figure.update_xaxes(gridcolor=GRID, rangemode="tozero")
    figure.write_html(file)
