"""Fits an n-gram of words on a recipe's transcripts, for searches that ask a language model. Sees text alone."""

from __future__ import annotations

from pathlib import Path

from alm.api.errors import AlmError
from alm.components.language_models.cards import ARPA_FILES
from alm.components.language_models.ngram import estimate, write_arpa
from alm.core.parts import Parts
from alm.core.wording import Wording
from alm.train.options import NgramFitOptions


def fit_ngram(parts: Parts, options: NgramFitOptions, target: Path) -> None:
    """Counts the train split's texts, and those of a file, each once.

    Raises:
        AlmError: a file that is not there, or no text with a word.
    """
    wording = Wording(parts)
    texts = {wording.written(u.text, u.language) for u in parts.utterances("train") if u.text}
    texts |= {wording.written(line, options.language) for line in read_lines(Path(options.texts))} if options.texts else set()
    write_arpa(estimate(sorted(texts), parts.card("language_model").order), target / ARPA_FILES[0])


def read_lines(path: Path) -> list[str]:
    """The texts of a file, one a line.

    Raises:
        AlmError: no such file, or one that is no text.
    """
    try:
        lines = [line.strip() for line in path.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise AlmError(f"got texts {path}, which cannot be read ({error})", "a file with a text a line, in UTF-8", "check the path") from error
    return [line for line in lines if line]
