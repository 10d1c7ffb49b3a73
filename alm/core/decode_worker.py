"""The process in which strangers' files are decoded: `python -m alm.core.decode_worker MEMORY_MB`. See `alm.core.sandbox`.

A line of JSON for each file comes in: `path`, `max_duration_s`, and `out`, where the samples go as float32, channels side by side. A line goes back: `sample_rate_hz`,
`channels`, or `got`, `wanted`, `fix` of what was refused. Decoders of sound have crashed on crafted files: what crashes here is this process, whose memory is bounded
and which writes nothing but that file.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from alm.api.errors import AlmError
from alm.api.types import AudioFile
from alm.core.decode import EXPORT_AGAIN, MAX_VALUES, Recording


def main() -> None:
    _bound(int(sys.argv[1]) << 20)
    answers = sys.stdout
    sys.stdout = sys.stderr  # what a decoder prints is no answer
    for line in sys.stdin:
        print(json.dumps(_decoded(json.loads(line))), file=answers, flush=True)


def _bound(memory: int) -> None:
    """Limits that the system keeps; Windows has none of these, and macOS not that of memory: there time alone is bounded."""
    try:
        import resource
    except ImportError:
        return
    for kind, limit in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 4 * MAX_VALUES), (resource.RLIMIT_AS, memory)):
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (limit, limit))


def _decoded(asked: dict[str, Any]) -> dict[str, Any]:
    try:
        with Recording(AudioFile(Path(asked["path"])), asked["max_duration_s"]) as recording, open(asked["out"], "wb") as out:
            for block in recording:
                out.write(block.data)
            return {"sample_rate_hz": recording.sample_rate_hz, "channels": recording.channels}
    except AlmError as error:
        return {"got": error.got, "wanted": error.wanted, "fix": error.fix}
    except MemoryError:
        return {"got": f"got {asked['path']}, which takes more memory than a file may", "wanted": "", "fix": EXPORT_AGAIN}


if __name__ == "__main__":
    main()
