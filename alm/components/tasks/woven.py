"""Text and speech of one utterance word by word: what a model learns from that the two say the same.

Interleaved as Spirit-LM does it (arXiv 2402.05755): some words in writing, the next in sound, and so on, by the times of the words. A
forced aligner gives these times; lhotse keeps them in a cut's alignment, from where they come as marks "words".
"""

from __future__ import annotations

import random
import zlib

from alm.api.cards import TaskCard
from alm.api.tasks import DeclaredTask
from alm.api.types import Marks, Sample, Segment, Turn, Utterance

MOST_WORDS = 5  # of a stretch
CARD = TaskCard("WOVEN", (), ("source.text", "source.audio"), (), "text and speech of one utterance, word by word", ("Go on in text and speech.", "Write and speak in turn."))  # type: ignore[arg-type]


class WovenTask(DeclaredTask):
    """Stretches of 1 to 5 words, written and spoken in turn, the same each time for the same utterance. One whose words have no times is
    its text, then its speech."""

    def __init__(self) -> None:
        super().__init__(CARD)

    def build(self, source: Utterance, target: Utterance | None = None) -> Sample:
        sample, words = super().build(source, target), source.labels.get("words", ())
        if isinstance(words, str) or not words:
            return sample
        segments = tuple(_stretch(source, stretch, stop_s, spoken=bool(number % 2)) for number, (stretch, stop_s) in enumerate(_stretches(words, source.id)))
        return Sample(sample.id, sample.tags, sample.languages, (sample.turns[0], Turn("assistant", segments)), sample.emits, sample.instruction)


def load_woven(options: None, context: object) -> WovenTask:
    return WovenTask()


def _stretches(words: Marks, name: str) -> list[tuple[Marks, float]]:
    """Neighbouring words, and when the next stretch begins."""
    chance, found, start = random.Random(zlib.crc32(name.encode())), [], 0
    while start < len(words):
        stop = start + chance.randint(1, MOST_WORDS)
        found.append((words[start:stop], words[stop].start_s if stop < len(words) else words[-1].stop_s))
        start = stop
    return found


def _stretch(source: Utterance, words: Marks, stop_s: float, *, spoken: bool) -> Segment:
    if spoken:
        assert source.audio is not None, "the card wants it"
        return Segment(source.audio, True, source.language, source.speaker, f"{words[0].start_s:.2f}:{stop_s:.2f}")
    return Segment(" ".join(word.text for word in words), True, source.language)
