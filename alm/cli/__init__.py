"""The `alm` command. Arguments in, one clear line or JSON out; every command's work is done elsewhere.

A user's mistake ends with one line on standard error and exit code 2. Heavy imports happen inside the commands. A command is a function in
the module of its group, whose import registers it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from alm.api.errors import AlmError
from alm.cli import about, data, demo, score, serve, training, use  # noqa: F401
from alm.cli.common import app


def exit_cleanly(command: Callable[[], Any]) -> None:
    """Runs a command: exit code 2 and one line for a user's mistake; no progress bar but its own."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # transformers asks for it too, when it loads weights
    try:
        command()
    except AlmError as error:
        print(f"alm: {error}", file=sys.stderr)
        sys.exit(2)


def main(arguments: list[str] | None = None) -> None:
    """Entry point."""
    exit_cleanly(lambda: app(arguments))
