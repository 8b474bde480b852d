"""Folders and files appear whole or not at all."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.errors import InvalidOption, StorageFailed
from storage.files import make_folder, write_folder, write_lines, write_text


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_folder_appears_with_everything_in_it(tmp_path: Path) -> None:
    with write_folder(tmp_path / "models" / "one") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "weights").write_bytes(b"1234")
        assert not (tmp_path / "models" / "one").exists()
    assert (tmp_path / "models" / "one" / "deep" / "weights").read_bytes() == b"1234"
    assert names(tmp_path / "models") == {"one"}


def test_an_error_inside_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with write_folder(tmp_path / "one") as folder:
            (folder / "half").write_text("hal")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert names(tmp_path) == set()


def test_an_empty_folder_is_filled_and_a_full_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with write_folder(tmp_path / "one") as folder:
        (folder / "a").touch()
    with (
        pytest.raises(InvalidOption, match="already holds something"),
        write_folder(tmp_path / "one"),
    ):
        pass
    with pytest.raises(InvalidOption), write_folder(tmp_path / "one" / "a"):
        pass
    assert names(tmp_path / "one") == {"a"}


def test_a_full_folder_is_replaced_when_asked(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with write_folder(tmp_path / "one", replace=True) as folder:
            (folder / name).touch()
    assert names(tmp_path / "one") == {"new"}
    assert names(tmp_path) == {"one"}


def test_a_failed_replacement_keeps_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with write_folder(tmp_path / "one") as folder:
        (folder / "old").touch()
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if "partial" in self.name:
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with (
        pytest.raises(StorageFailed, match="reports a fault"),
        write_folder(tmp_path / "one", replace=True) as folder,
    ):
        (folder / "new").touch()
    assert names(tmp_path / "one") == {"old"}
    assert names(tmp_path) == {"one"}


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full; free some space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "your quota of disk space is used up"),
        (OSError(errno.EROFS, "Read-only file system"), "the disk is read-only"),
        (PermissionError(errno.EACCES, "Permission denied"), "you may not write there"),
        # As safetensors puts it.
        (RuntimeError("I/O error: No space left on device (os error 28)"), "the disk is full"),
    ],
)
def test_a_disk_that_refuses_changes_nothing(
    error: Exception, sentence: str, tmp_path: Path
) -> None:
    with write_folder(tmp_path / "one") as folder:
        (folder / "old").touch()

    def fail() -> None:
        with write_folder(tmp_path / "one", replace=True) as folder:
            (folder / "half").write_text("hal")
            raise error

    with pytest.raises(StorageFailed, match=sentence):
        fail()
    assert names(tmp_path) == {"one"}
    assert names(tmp_path / "one") == {"old"}


def test_other_errors_keep_their_own_words(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), write_folder(tmp_path / "one") as folder:
        (folder / "missing").read_text()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("Mounting a small disk needs root.")
    made = subprocess.run([mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=False)
    if made.returncode:
        pytest.skip("This machine does not let root mount a small disk.")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_that_is_really_full_changes_nothing(tiny_disk: Path) -> None:
    write_text(tiny_disk / "label", "old")
    with (
        pytest.raises(StorageFailed, match="the disk is full"),
        write_folder(tiny_disk / "one") as folder,
    ):
        (folder / "weights").write_bytes(bytes(10**6))
    with pytest.raises(StorageFailed, match="the disk is full"):
        write_text(tiny_disk / "label", "new" * 10**6)
    assert names(tiny_disk) == {"label"}
    assert (tiny_disk / "label").read_text() == "old"


def test_a_text_replaces_another_whole(tmp_path: Path) -> None:
    for text in ("old", "Grüße,\r\n世界\n"):
        write_text(tmp_path / "notes" / "a.txt", text)
    assert (tmp_path / "notes" / "a.txt").read_bytes().decode() == "Grüße,\r\n世界\n"
    assert names(tmp_path / "notes") == {"a.txt"}


def test_a_text_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text(tmp_path / "a.txt", "old")

    def refuse(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageFailed, match=r"a\.txt could not be written: the disk is full"):
        write_text(tmp_path / "a.txt", "new")
    monkeypatch.undo()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == {"a.txt"}
    with pytest.raises(InvalidOption, match="there is a folder of that name"):
        write_text(tmp_path, "new")


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    below = tmp_path / "file" / "below"
    with pytest.raises(StorageFailed, match="cannot be made"):
        make_folder(below)
    with pytest.raises(StorageFailed, match="cannot be made"):
        write_text(below / "a.txt", "new")
    with pytest.raises(StorageFailed, match="cannot be made"), write_folder(below / "one"):
        pass
    assert names(tmp_path) == {"file"}


def test_an_error_of_another_kind_while_writing_keeps_its_words(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="File name too long"):
        write_text(tmp_path / ("x" * 400), "new")


def test_lines_are_compressed_where_the_name_says_so_and_always_alike(tmp_path: Path) -> None:
    for name in ("one.jsonl.gz", "other.jsonl.gz"):
        write_lines(tmp_path / name, (f"{number}\n" for number in range(3)))
    one, other = ((tmp_path / name).read_bytes() for name in ("one.jsonl.gz", "other.jsonl.gz"))
    assert one == other
    assert gzip.decompress(one) == b"0\n1\n2\n"


def test_a_file_that_breaks_off_changes_nothing(tmp_path: Path) -> None:
    def breaking() -> Iterator[str]:
        yield "half"
        raise ValueError("no more")

    (tmp_path / "kept.gz").write_text("before", encoding="utf-8")
    with pytest.raises(ValueError, match="no more"):
        write_lines(tmp_path / "kept.gz", breaking())
    assert [path.name for path in tmp_path.iterdir()] == ["kept.gz"]
    assert (tmp_path / "kept.gz").read_text("utf-8") == "before"
