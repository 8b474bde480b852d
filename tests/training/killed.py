"""What stops a run as a crash would: `KeyboardInterrupt`, which no recipe catches."""

from __future__ import annotations

from typing import Any

from transformers import Trainer


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def interrupt_at(step: int) -> Any:
    """In the place of `Trainer._save_rng_state`: dies within the checkpoint of a step."""
    original = Trainer._save_rng_state

    def save(self: Any, folder: str) -> None:
        if folder.endswith(f"-{step}"):
            interrupt()
        original(self, folder)

    return save
