"""How much memory training would take, as a bar beside what is free."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from app.memory_needs import PARTS
from app.pages.fragments import joined

NAMES = {
    "program": "program and libraries",
    "weights": "weights",
    "learning": "gradients and AdamW",
    "activations": "activations of a batch",
    "kept": "kept states of frozen layers",
}
GIB = 2**30
CLOSE = 0.75
"""Share of what is free beyond which a run may well not fit: an estimate is a quarter off."""


def drawn(needed: Mapping[str, int]) -> Markup:
    """The estimate in a sentence, a bar and its parts.

    Args:
        needed: Bytes, as `app.memory_needs.memory_needed` gives them.
    """
    total, free = needed["total"], needed["free"]
    whole = max(total, free)
    parts = [name for name in PARTS if needed[name]]
    bar = joined(
        Markup('<i class="t-part-{}" style="width:{:.2f}%"></i>').format(
            PARTS.index(name), 100 * needed[name] / whole
        )
        for name in parts
    )
    legend = joined(
        Markup('<li><i class="t-part-{}"></i>{} <b>{}</b></li>').format(
            PARTS.index(name), NAMES[name], _size(needed[name])
        )
        for name in parts
    )
    return Markup(
        '<div class="t-memory" role="status"><p><strong>About {}</strong> at the peak; {} are free.'
        ' {}</p><div class="t-needed" aria-hidden="true">{}'
        '<b style="left:{:.2f}%"></b></div><ul>{}</ul></div>'
    ).format(_size(total), _size(free), _advice(total, free), bar, 100 * free / whole, legend)


def _advice(total: int, free: int) -> str:
    if total > free:
        return (
            "It would not fit. Lower batch tokens or layers, turn gradient checkpointing on, or"
            " take a smaller base."
        )
    return "It may not fit: estimates are up to a quarter off." if total > CLOSE * free else ""


def _size(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.0f} MiB"
