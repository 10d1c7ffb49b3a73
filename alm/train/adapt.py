"""Adapts a recognizer to a domain by text alone: an n-gram of its sentences, weighed on held-out clips. Sees texts; hears held-out clips."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence as Many
from dataclasses import dataclass
from pathlib import Path

from alm.api.errors import AlmError
from alm.api.types import Utterance
from alm.components.language_models.cards import ARPA_FILES
from alm.components.language_models.ngram import estimate, write_arpa
from alm.core.audio import read_audio
from alm.core.bootstrap import Errors, Interval, wer_difference, word_errors
from alm.core.checkpoint import save_steps
from alm.core.config import PartConfig
from alm.core.files import atomic_folder
from alm.core.parts import Parts
from alm.core.recognition import SearchRecognizer
from alm.core.wording import Wording
from alm.train.tune import Trial, tune, with_weights

WORDS_FILE = "words.txt"


@dataclass(frozen=True)
class Adapted:
    """What came of it.

    Attributes:
        before, after: words that were wrong on the scored clips, in per cent; None without any.
        change: the one less the other, with its bootstrap.
        weights: by part and option, as they were tuned; {} without clips to tune on.
    """

    texts: int
    words: int
    before: float | None
    after: float | None
    change: Interval | None
    weights: dict[str, float]


def adapt(
    parts: Parts,
    texts: Many[str],
    language: str,
    folder: Path,
    *,
    order: int = 3,
    dev: Many[Utterance] = (),
    test: Many[Utterance] = (),
    tell: Callable[[Trial], None] = lambda trial: None,
) -> Adapted:
    """Writes a model that transcribes with an n-gram of the texts: lm.arpa.gz, words.txt (for searches with a lexicon) and recipe.yaml.

    Args:
        parts: of a recipe with a search; one that asks no language model gives way to `ctc-beam`.
        dev: clips by which the n-gram's weight is found.
        test: clips on which words are counted before and after.

    Raises:
        AlmError: a recipe without search, or texts without a word.
    """
    if not parts.recipe.searches:
        raise AlmError(f"got recipe {parts.recipe.name!r}, which hears by no search", "a model with parts.search", "train one: alm train whisper-ctc")
    wording = Wording(parts)
    worded = sorted({written for text in texts if (written := wording.written(text, language))})
    model = estimate(worded, order)
    with atomic_folder(folder) as temporary:
        write_arpa(model, temporary / ARPA_FILES[0])
        (temporary / WORDS_FILE).write_text("".join(f"{word}\n" for word in model.words))
        adapted = _with_language_model(parts, temporary)
        weights: dict[str, float] = {}
        if dev:
            best = tune(adapted, dev, tell)[-1]
            weights, adapted = best.weights, with_weights(adapted, best)
        errors = [_errors(found, test) for found in (parts, adapted)] if test else []
        save_steps(temporary, adapted, {"language_model": {"weights": "dir:."}})
    before, after, change = (errors[0].wer, errors[1].wer, wer_difference(*errors)) if errors else (None, None, None)
    return Adapted(len(worded), len(model.words), before, after, change, weights)


def _with_language_model(parts: Parts, folder: Path) -> Parts:
    search = parts.recipe.part("search") if parts.card("search").fuses else PartConfig("ctc-beam")
    language_model = PartConfig("ngram", {"weights": f"dir:{folder.resolve()}"})
    return dataclasses.replace(parts, recipe=dataclasses.replace(parts.recipe, parts={**parts.recipe.parts, "search": search, "language_model": language_model}))


def _errors(parts: Parts, utterances: Many[Utterance]) -> Errors:
    recognizer = SearchRecognizer(parts)
    read = [readings[0].text for readings in recognizer.readings([read_audio(u.audio) for u in utterances if u.audio is not None])]
    return word_errors([recognizer.wording.written(u.text, u.language) for u in utterances if u.audio is not None], read)
