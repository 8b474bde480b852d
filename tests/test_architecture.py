"""The import picture of the design: packages point downwards, heavy libraries have one door."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#   app -> evaluation -> feedback, training -> storage; feedback and training never meet
BELOW = {
    "app": {"evaluation", "feedback", "training", "storage"},
    "evaluation": {"feedback", "training", "storage"},
    "feedback": {"storage"},
    "training": {"storage"},
    "storage": set[str](),
}
DOORS = {
    "storage": {"sqlalchemy", "alembic", "pyarrow"},
    "feedback": {"argilla"},
    "training": {"torch", "transformers", "peft", "trl", "accelerate", "safetensors", "tokenizers"},
    "evaluation": {
        *("plotly", "statsmodels", "krippendorff", "evalica", "alpaca_eval"),
        *("datasketch", "py3langid"),
    },
    "app": {"gradio", "fastapi", "starlette", "uvicorn", "dbos", "cyclopts", "rich"},
}
# scipy serves two neighbours: the measurement model and the statistics. Snapshots are datasets, and
# TRL's trainers take nothing else. Programs speak HTTP to each other from the app, a policy in
# training to the services that reward it, and Argilla's SDK raises what its HTTP client raises.
SHARED_DOORS = {
    "scipy": {"feedback", "evaluation"},
    "datasets": {"storage", "training"},
    "httpx": {"app", "feedback", "training"},
}


def _sources(package: str) -> Iterator[Path]:
    yield from sorted((ROOT / package).rglob("*.py"))


def _imports(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name.partition(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0], node.lineno


@pytest.mark.parametrize("package", BELOW)
def test_imports_point_downwards(package: str) -> None:
    allowed = BELOW[package] | {package}
    upward = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in _sources(package)
        for name, line in _imports(path)
        if name in BELOW and name not in allowed
    ]
    assert not upward, "\n".join(upward)


@pytest.mark.parametrize("package", BELOW)
def test_heavy_libraries_have_one_door(package: str) -> None:
    foreign = {name: door for door, names in DOORS.items() if door != package for name in names}
    foreign |= {name: " or ".join(sorted(doors)) for name, doors in SHARED_DOORS.items()
                if package not in doors}  # fmt: skip
    strays = [
        f"{path.relative_to(ROOT)}:{line} imports {name}; its door is {foreign[name]}"
        for path in _sources(package)
        for name, line in _imports(path)
        if name in foreign
    ]
    assert not strays, "\n".join(strays)


def test_every_source_file_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for package in BELOW
        for path in _sources(package)
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not silent, "\n".join(silent)
