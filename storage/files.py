"""Files and folders that appear whole or not at all.

They are written under a hidden name beside their place, brought to the disk, and renamed. What
stops the writer, be it an error or a full disk, leaves nothing behind and changes nothing.
A process killed outright may leave the hidden `.NAME.partial-...` behind, which is safe to delete.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

from storage.errors import InvalidOption, StorageFailed

_REFUSALS = {
    errno.ENOSPC: "the disk is full; free some space and try again",
    errno.EDQUOT: "your quota of disk space is used up; free some space and try again",
    errno.EROFS: "the disk is read-only; choose another folder",
    errno.EACCES: "you may not write there; choose another folder",
    errno.EPERM: "you may not write there; choose another folder",
    errno.EIO: "the disk reports a fault; choose another disk",
}


@contextmanager
def write_folder(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give a hidden folder to fill; when the block ends well, it becomes `target`.

    Args:
        target: The folder to make. Its parents are made as needed.
        replace: Put the new folder in the place of one that already holds something.

    Raises:
        InvalidOption: `target` already holds something and `replace` is false.
        StorageFailed: The disk is full, read-only or faulty, or the place is not ours to write to.
    """
    if not replace and target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise InvalidOption(
            "folder", "it already holds something; name another or remove it", str(target)
        )
    make_folder(target.absolute().parent)
    partial = _beside(target, "partial")
    try:
        partial.mkdir()
        yield partial
        for path in [*partial.rglob("*"), partial]:
            bring_to_disk(path)
        _put_in_place(partial, target)
    except Exception as error:
        reason = _refusal(error)
        if reason is None:
            raise
        raise StorageFailed(f"{target} could not be written: {reason}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_text(target: Path, text: str) -> None:
    """Write a text file in UTF-8 so that readers see the old text or the new one, whole.

    Raises:
        InvalidOption: A folder has that name.
        StorageFailed: The disk is full, read-only or faulty, or the place is not ours to write to.
    """
    write_lines(target, [text])


def write_lines(target: Path, lines: Iterable[str]) -> None:
    """Write a text file as `write_text` does, from parts that need not fit into memory together.

    A file whose name ends in `.gz` is compressed.

    Raises:
        InvalidOption: A folder has that name.
        StorageFailed: The disk is full, read-only or faulty, or the place is not ours to write to.
    """
    with write_file(target) as partial, ExitStack() as files:
        plain: IO[bytes] = files.enter_context(partial.open("wb"))
        if target.suffix == ".gz":
            # Without name and time, so that the same lines make the same file.
            packed = gzip.GzipFile(filename="", mode="wb", fileobj=plain, mtime=0)
            plain = cast("IO[bytes]", files.enter_context(packed))
        text = files.enter_context(io.TextIOWrapper(plain, encoding="utf-8", newline=""))
        text.writelines(lines)


@contextmanager
def write_file(target: Path) -> Iterator[Path]:
    """Give a hidden file to write; when the block ends well, it becomes `target`.

    Raises:
        InvalidOption: A folder has that name.
        StorageFailed: The disk is full, read-only or faulty, or the place is not ours to write to.
    """
    if target.is_dir():
        raise InvalidOption("file", "there is a folder of that name; name another", str(target))
    make_folder(target.absolute().parent)
    partial = _beside(target, "partial")
    try:
        yield partial
        bring_to_disk(partial)
        partial.replace(target)
        bring_to_disk(target.parent)
    except OSError as error:
        reason = _refusal(error)
        if reason is None:
            raise
        raise StorageFailed(f"{target} could not be written: {reason}.") from error
    finally:
        partial.unlink(missing_ok=True)


def make_folder(target: Path) -> Path:
    """Make a folder and its parents, when they are not there, and return it.

    Raises:
        StorageFailed: It cannot be made.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageFailed(
            f"The folder {target} cannot be made ({error.strerror}); choose one that you may write"
            " to, or set TANDEM_DATA_DIR to such a one."
        ) from error
    return target


def _beside(target: Path, word: str) -> Path:
    return target.absolute().with_name(f".{target.name}.{word}-{secrets.token_hex(4)}")


def _put_in_place(partial: Path, target: Path) -> None:
    """Rename. A folder that holds something cannot be renamed over, so it steps aside first."""
    aside = _beside(target, "old")
    try:
        target.rename(aside)
    except FileNotFoundError:
        partial.rename(target)
    else:
        try:
            partial.rename(target)
        except OSError:
            aside.rename(target)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    bring_to_disk(target.parent)


def bring_to_disk(path: Path) -> None:
    """Wait until what a file or a folder holds outlives the machine's power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refusal(error: Exception) -> str | None:
    """Why the disk refused, or None when the error is about something else."""
    if isinstance(error, OSError) and error.errno in _REFUSALS:
        return _REFUSALS[error.errno]
    # Writers in other languages (safetensors, torch) pass the system's words on in errors of
    # their own kinds.
    if "No space left on device" in str(error):
        return _REFUSALS[errno.ENOSPC]
    return None
