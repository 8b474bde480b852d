"""A folder that holds a dataset, as `datasets` saves it or the Hub lays it out: its files by part.

`datasets` itself says which files belong to which split, by their names or by what the README says.
Nothing is copied into its cache.
"""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import shorten

from storage.errors import InvalidData
from storage.records import Split

# As `datasets.data_files.SPLIT_KEYWORDS`, which tells the splits of files by their names.
_NAMES = {
    **dict.fromkeys(("train", "training"), Split.TRAIN),
    **dict.fromkeys(("validation", "valid", "dev", "val"), Split.VALIDATION),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), Split.TEST),
}


def split_named(name: str) -> Split | None:
    """The part of the data that the name of a split means, as in `train_prefs`; None for others."""
    words = re.split(r"[-._ /0-9]+", name.lower())
    return next((_NAMES[word] for word in words if word in _NAMES), None)


def data_files(folder: Path) -> list[tuple[Path, Split]]:
    """The files of a dataset, each with its part: train, validation, test, as far as there are any.

    Files that nobody assigned to a part are all in train.

    Raises:
        InvalidData: The folder holds no dataset, several, or one in parts of other names.
    """
    splits = _splits(folder)
    parts: dict[Split, str] = {}
    for name in splits:
        part = split_named(name)
        if part is None or part in parts:
            raise InvalidData(
                f"{folder} has the parts {', '.join(sorted(splits))}, of which at most one may be"
                " for each of train, validation and test; name one of its files."
            )
        parts[part] = name
    return [(path, part) for part in Split if part in parts for path in splits[parts[part]]]


def _splits(folder: Path) -> dict[str, list[Path]]:
    from datasets import load_dataset_builder  # noqa: PLC0415, takes a second to import

    try:
        with TemporaryDirectory() as locks:
            builder = load_dataset_builder(str(folder.absolute()), cache_dir=locks)
    except Exception as error:  # other people's README can be wrong in many ways
        reason = shorten(str(error).partition("\nExample of usage")[0], 200, placeholder=" ...")
        raise InvalidData(
            f"{folder} cannot be read as a dataset: {reason.rstrip('.')}. Name one file, or a"
            " folder with one dataset in it."
        ) from error
    splits = {
        str(name): [Path(path) for path in paths]
        for name, paths in (builder.config.data_files or {}).items()
    }
    for path in chain(*splits.values()):
        if not path.is_relative_to(folder.absolute()):
            raise InvalidData(f"The README of {folder} names {path}, outside of it; name a file.")
    return splits
