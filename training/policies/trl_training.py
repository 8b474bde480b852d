"""What a run asks of every trainer of TRL, whatever it learns: its folders, and discretion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from storage.errors import InvalidOption
from storage.files import write_text


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint; one that was half-written when the process died is passed over.

    TRL writes the trainer's state last.
    """
    found = folder.glob("checkpoint-*")
    for candidate in sorted(found, key=lambda path: int(path.name.split("-")[1]), reverse=True):
        try:
            json.loads((candidate / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return candidate
    return None


def claim(checkpoints: Path, identity: str, output: Path, *, resumed: bool) -> None:
    """See that a run's folders are its own, and mark them.

    Args:
        checkpoints: Where it keeps checkpoints.
        identity: Digest of all that the run depends on.
        output: Where its model is to be.
        resumed: There is a checkpoint to go on from, so `output` may hold an earlier try.

    Raises:
        InvalidOption: A folder belongs to something else.
    """
    mark = checkpoints / "run.txt"
    if mark.is_file() and mark.read_text(encoding="utf-8") != identity:
        raise InvalidOption(
            "checkpoints", "they are from a run with other options or data", str(checkpoints)
        )
    if not resumed and output.exists() and any(output.iterdir()):
        raise InvalidOption("output", "it already holds something; name another", str(output))
    write_text(mark, identity)


class Discreet:
    """Comes before a trainer of TRL among the bases, and keeps what it does to ourselves."""

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Nothing: checkpoints are nobody's model, and the finished one gets a card of ours."""

    def _send_telemetry(self) -> None:
        """Nothing: what is trained here is told to nobody, and a dead network costs no time."""
