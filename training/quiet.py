"""Keep what the libraries say to programmers off the screen of people who train models."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging as chatter


@contextmanager
def quietly() -> Iterator[None]:
    """Hide progress bars of a second, hints about heads not yet trained, and deprecations.

    Errors still come through.
    """
    verbosity, bars = chatter.get_verbosity(), chatter.is_progress_bar_enabled()
    chatter.set_verbosity_error()
    chatter.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        chatter.set_verbosity(verbosity)
        if bars:
            chatter.enable_progress_bar()
