"""What a safetensors file says of itself, read without numpy, which its own reader imports: `alm check` reads cards alone."""

import json
from pathlib import Path

from alm.api.errors import AlmError


def header_notes(path: Path) -> dict[str, str]:
    """The notes (`__metadata__`) that a safetensors file carries beside its tensors.

    Raises:
        AlmError: a file that has no such header.
    """
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return dict(header["__metadata__"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise AlmError(f"got {path}, whose header cannot be read ({error})", "a safetensors file with notes, as alm writes it", "copy or train it again") from error
