"""Judgements in and out: rows a second and peak memory, beside Argilla's `to_datasets`.

    python benchmarks/export.py [--quick] [--judgements 10000 1000000] [--json]

A made-up file of pairs is imported, one line a judgement, four lines a prompt, answers of some 300
characters; then the project is exported as `preference` to Parquet with its card, and read back
with `datasets` from the first row to the last. Sizes: 10,000, 100,000 and 1,000,000 judgements, or
those that are named. Every step is measured in a fresh process, whose peak memory is that of the
process, libraries included; so is one that only loads the libraries. `growth` is the peak memory
with the most judgements over that with the fewest: 1.2 or less is flat.

Beside it, Argilla's SDK turns records of the same texts and choices, without a server, into a
`datasets` table (`Records.to_datasets`) and writes that as Parquet. It holds all records at once,
and in practice fetches them from its server before, which is not counted; making the records is not
counted either. It gets no more than 100,000 of them. `ratio` is our rows a second over Argilla's at
that size, though ours reads a database, checks, divides and describes.
"""

# ruff: noqa: PLC0415, every process loads what it measures and no more
from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

NOW = datetime(2026, 3, 14, tzinfo=UTC)
EACH_PROMPT = 4
WORDS = "the sky looks blue because short waves of light scatter more than long ones do in air "
PROJECT = "bench"
ARGILLA = "Argilla to_datasets"


def lines(judgements: int) -> Iterator[dict[str, Any]]:
    """Pairs, four annotators for each prompt; they disagree about every third."""
    for number in range(judgements):
        prompt, who = divmod(number, EACH_PROMPT)
        answers = [f"{prompt} {side} {WORDS * 3}" for side in ("first", "second")]
        if (prompt + who) % 3 == 0:
            answers.reverse()
        yield {
            "prompt": f"Question {prompt}: {WORDS}",
            "chosen": answers[0],
            "rejected": answers[1],
            "annotator": f"annotator {who}",
        }


def libraries(_: Path) -> int:
    """Load what our other steps load, and do nothing."""
    for name in ("datasets", "app.exporting", "evaluation.annotator_agreement",
                 "feedback.exporters", "feedback.importers.store", "storage.parquet"):  # fmt: skip
        importlib.import_module(name)
    return 0


def bring_in(folder: Path) -> int:
    from feedback.importers.store import import_file
    from storage.database import Database

    database = Database(f"sqlite:///{folder}/bench.sqlite")
    database.migrate()
    report = import_file(database, folder / "pairs.jsonl", project=PROJECT, now=NOW)
    database.close()
    return report.comparisons


def take_out(folder: Path) -> int:
    from app.exporting import export_to
    from storage.database import Database
    from storage.projects import project_named

    database = Database(f"sqlite:///{folder}/bench.sqlite")
    with database.read() as connection:
        project = project_named(connection, PROJECT)
    report = export_to(
        database,
        project,
        "preference",
        output=str(folder / "export"),
        options={"file_type": "parquet"},
        now=NOW,
    )
    database.close()
    return sum(report.rows.values())


def read_back(folder: Path) -> int:
    import datasets

    opened = datasets.load_dataset(
        str(folder / "export"), cache_dir=str(folder / "cache"), streaming=True
    )
    return sum(1 for part in opened.values() for _ in part)


def argilla(folder: Path, judgements: int) -> Callable[[], int]:
    import argilla as rg
    from argilla.records._io import HFDatasetsIO

    records = [
        rg.Record(
            id=str(number),
            fields={
                "prompt": line["prompt"],
                "response_a": line["chosen"],
                "response_b": line["rejected"],
            },
            responses=[rg.Response("preference", "a", user_id=f"{number % EACH_PROMPT:032x}")],
        )
        for number, line in enumerate(lines(judgements))
    ]

    def run() -> int:
        table = HFDatasetsIO.to_datasets(records, SimpleNamespace(schema={}))
        table.to_parquet(str(folder / "argilla.parquet"))
        return len(table)

    return run


STEPS: dict[str, Callable[[Path], int]] = {
    "libraries": libraries,
    "import": bring_in,
    "export": take_out,
    "read back": read_back,
}


def measured(step: str, folder: Path, judgements: int) -> dict[str, Any]:
    """Do one step and say what it took. It must have met every judgement."""
    if step not in ("libraries", ARGILLA):
        libraries(folder)  # loaded before the clock starts, as in a server that runs
    run = argilla(folder, judgements) if step == ARGILLA else partial(STEPS[step], folder)
    with Path(os.devnull).open("w") as quiet, redirect_stderr(quiet):
        began, spent = time.perf_counter(), time.process_time()
        rows = run()
        seconds, spent = time.perf_counter() - began, time.process_time() - spent
    assert rows == (0 if step == "libraries" else judgements), (step, rows)
    return {
        "step": step,
        "judgements": judgements,
        "seconds": seconds,
        "processor_seconds": spent,
        "rows_per_second": rows / seconds,
        "rows_per_processor_second": rows / spent if spent else None,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
    }


def alone(step: str, folder: Path, judgements: int) -> dict[str, Any]:
    """One row, measured in a fresh process."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as pool:
        return pool.submit(measured, step, folder, judgements).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="500 and 2,000 judgements")
    parser.add_argument(
        "--judgements",
        type=int,
        nargs="+",
        default=(10_000, 100_000, 1_000_000),
        metavar="NUMBER",
        help="sizes, the smallest first; one of them at most 100,000",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    sizes = (500, 2_000) if options.quick else tuple(options.judgements)
    most_for_argilla = max(size for size in sizes if size <= 100_000)
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="bench-export-") as scratch:
            folder = Path(scratch)
            with (folder / "pairs.jsonl").open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(line) + "\n" for line in lines(size))
            steps = [*STEPS, ARGILLA] if size <= most_for_argilla else STEPS
            rows += [alone(step, folder, size) for step in steps]
    peak = {(row["step"], row["judgements"]): row["peak_mib"] for row in rows}
    pace = {(row["step"], row["judgements"]): row["rows_per_processor_second"] for row in rows}
    result = {
        "benchmark": "export",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "rows": rows,
        "growth": {
            step: peak[step, sizes[-1]] / peak[step, sizes[0]]
            for step in ("import", "export", "read back")
        },
        "ratio": pace["export", most_for_argilla] / pace[ARGILLA, most_for_argilla],
    }
    print(json.dumps(result) if options.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
