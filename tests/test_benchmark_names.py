"""A benchmark may be called like a module of the standard library, and must then give way to it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TAKEN = sorted(
    path.stem for path in BENCHMARKS.glob("*.py") if path.stem in sys.stdlib_module_names
)


def test_there_is_such_a_benchmark() -> None:
    assert TAKEN == ["statistics"]


@pytest.mark.parametrize("name", TAKEN)
def test_scripts_beside_it_get_the_standard_library(name: str) -> None:
    # A script's own folder comes first on its path, as it does here.
    code = (
        f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r}); import {name}; from {name} import *;"
        f" print({name}.__file__); print(sys.modules[{name!r}] is {name}, {name}.median([3, 1, 2]))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    path, answer = said.stdout.splitlines()
    assert not Path(path).is_relative_to(BENCHMARKS)
    assert answer == "True 2"
