"""Files and folders that appear whole or not at all, and lines as they come. Knows the file system alone."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from alm.api.errors import AlmError

UNFINISHED = ".new-"


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A folder to write into, which takes the place of `target` when the block ends without an error.

    Raises:
        AlmError: a place that cannot be written to.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.new-"))
    except OSError as error:
        raise AlmError(f"got folder {target}, which cannot be written ({error.strerror})", "a writable place", "choose another folder") from error
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("rb+") as handle:
                    os.fsync(handle.fileno())
                os.chmod(file, 0o644)
        os.chmod(temporary, 0o755)
        old = target.with_name(f".{target.name}.old")
        if target.exists():
            os.replace(target, old)
        os.replace(temporary, target)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def write_bytes(target: Path, content: bytes) -> None:
    """Writes a file beside its place, to the disk, and moves it there."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=UNFINISHED)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(temporary, 0o644)
    os.replace(temporary, target)


def gzipped(text: str) -> bytes:
    """Without a time, so that the same text is the same bytes."""
    return gzip.compress(text.encode(), mtime=0)


def write_text(target: Path, text: str) -> None:
    """The same for text."""
    write_bytes(target, text.encode())


def write_lines(target: Path, lines: Iterable[str]) -> int:
    """Writes lines as they come, so that what was made is kept when the process is stopped; without a line, no file.

    Returns:
        how many there were.
    """
    count = 0
    with ExitStack() as opened:
        for count, line in enumerate(lines, start=1):
            if count == 1:
                file = opened.enter_context(target.open("w", encoding="utf-8"))
            file.write(line + "\n")
            file.flush()
    return count


def remove_unfinished(folder: Path) -> None:
    """Removes what a killed process left half-written; nothing else may be writing there."""
    for path in folder.rglob(f"{UNFINISHED}*"):
        path.unlink(missing_ok=True)
