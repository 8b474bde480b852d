"""Small files, projects and people that several tests of feedback need."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

WriteLines = Callable[..., Path]


@pytest.fixture
def write_lines(tmp_path: Path) -> WriteLines:
    """Write objects as JSON lines; `.gz` compresses them."""

    def write(*lines: Mapping[str, Any] | str, name: str = "file.jsonl") -> Path:
        path = tmp_path / name
        text = "".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in lines)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write
