"""The errors a user can cause. Each says what came, what was wanted, and the fix; the CLI prints them as one line."""

import difflib
from collections.abc import Iterable


class AlmError(ValueError):
    """A user's mistake or an input that cannot be used: one clear line, exit code 2.

    Args:
        got: what came ("got 8000 Hz").
        wanted: what was wanted ("16000 Hz for tokenizer 'whisper'"); may be empty.
        fix: what to do about it ("call audio.resample(16000)").
    """

    def __init__(self, got: str, wanted: str = "", fix: str = "") -> None:
        self.got, self.wanted, self.fix = got, wanted, fix
        message = got if not wanted else f"{got}; wanted {wanted}"
        super().__init__(f"{message}. Fix: {fix}." if fix else f"{message}.")


class UnknownNameError(AlmError, LookupError):
    """A name that is not registered; the fix names the closest ones."""


class VocabularyMismatchError(AlmError):
    """A checkpoint, cache or vocoder that was made with another vocabulary or codebook."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A fix for a misspelt name: the closest known names, or all of them."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"one of: {', '.join(known) or 'none is registered'}"
