"""`make soak`: hostile files through the reader, bounded in time; prints what became of them, and fails where anything but reading or refusing did."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from tests.soak.hostile import FAILED, through_the_reader


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=25.0, help="after which no further case begins")
    parser.add_argument("--files", type=int, default=20_000, help="mutated sound files")
    parser.add_argument("--out", type=Path, default=Path("out/soak.json"))
    arguments = parser.parse_args()
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="alm-soak-"))
    files = through_the_reader(arguments.files, folder, started + 60 * arguments.minutes)
    report = {"reader": {**files, "seconds": round(time.monotonic() - started)}}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1))
    print(json.dumps(report, indent=1))
    bad = files[FAILED] + files["slow"] + files["refused in several lines"]
    if bad:
        sys.exit(f"{bad} cases failed; those on which a decoder died are in {folder}")
    folder.rmdir()


if __name__ == "__main__":
    main()
