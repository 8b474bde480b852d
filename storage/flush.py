"""Waiting for the disk together: one wait serves all who wrote before it began.

A wait takes milliseconds, many times what a judgement takes to be written. If each writer waited
while holding the database, that would be the pace of the whole server.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

# What a reader needs to find the data again is flushed too; only the time of change is not.
_flush = getattr(os, "fdatasync", os.fsync)


class SharedFlush:
    """Makes sure that what was written to a file is on the disk. Threads may share it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._turn = threading.Lock()
        self._begun = 0
        self._done = 0

    def wait(self) -> None:
        """Return when everything that was written before the call is on the disk.

        Raises:
            OSError: The disk says no.
        """
        needed = self._begun + 1  # one that began already may have been too early for us
        with self._turn:
            if self._done >= needed:
                return  # somebody in front of us in the line flushed for us
            self._begun += 1
            number = self._begun
            handle = os.open(self._file, os.O_RDONLY)
            try:
                _flush(handle)
            finally:
                os.close(handle)
            self._done = number
