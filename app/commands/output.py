"""What commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def tell(text: str) -> None:
    """Print a result for a person."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Print something that is no result, so that it does not get into a pipe."""
    sys.stderr.write(text + "\n")


def tell_json(result: Mapping[str, Any]) -> None:
    """Print one JSON object. Not-a-number is refused: JSON has no word for it."""
    sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def tell_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print a table, or the sentence `empty` where there are no rows."""
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    if not cells:
        tell(empty)
        return
    widths = [
        max(len(column), *(len(row[number]) for row in cells))
        for number, column in enumerate(columns)
    ]
    for row in [list(columns), ["-" * width for width in widths], *cells]:
        tell("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def agreed(question: str) -> bool:
    """Ask on the terminal; where there is none, the answer is no."""
    if not sys.stdin.isatty():
        note("Publishing asks for a yes on the terminal; without one, add --yes.")
        return False
    note(f"{question} [yes/no]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def written_estimate(estimate: Mapping[str, Any] | None) -> str:
    """An estimate as `evaluation` writes it, in one cell: 0.73 [0.68, 0.78]."""
    if estimate is None:
        return "-"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"
