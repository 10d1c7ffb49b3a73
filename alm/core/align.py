"""When each word of a transcript is said: CTC forced alignment of a corpus (`alm align`). Sees posteriors and texts, no model that writes.

Word timestamps that a model learns (Qwen-Audio's SRWT, arXiv 2311.07919) and word-level interleaving start from such marks. A CTC head hears a
piece of text for a moment, not for as long as it lasts, so what lies between two words is shared between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence as Many
from itertools import islice, pairwise
from typing import Any

import torch
from torch import Tensor

from alm.api.errors import AlmError
from alm.api.types import Audio, Mark, Marks
from alm.core.audio import prepare
from alm.core.devices import has_bfloat16
from alm.core.manifests import sound_of
from alm.core.parts import Parts
from alm.core.wording import Wording

AT_ONCE = 32  # clips
LONGEST_GAP_S = 0.18  # from what is heard of a word to the beginning of the next; a longer one is a pause
LEAD_S = 0.08  # by which a word begins before its first piece is heard, and
TAIL_S = 0.13  # lasts beyond its last one, into a pause: tools/check_alignment.py of alm-prompts compares with labelled pauses


class Aligner:
    """Words and when they are said, by the encoder of a model whose adapter has a CTC head.

    Raises:
        AlmError: a model without such an encoder.
    """

    def __init__(self, model: str, device: str = "cpu") -> None:
        parts = Parts.of_model(model, device=device)
        if not parts.has("encoder") or not parts.recipe.part("encoder").options.get("adapter"):
            raise AlmError(f"got {model!r}, which hears by no CTC head", "a model whose encoder has an adapter", "name another --model")
        parts = Parts.of_model(model, [f"parts.encoder.{change}" for change in ("merge=''", "output=posteriors", "projector=mixture", "stamps=false")], device)
        self.encoder, self.wording = parts.load("encoder"), Wording(parts)
        self.rate_hz = self.encoder.card.sample_rate_hz
        self.autocast = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=has_bfloat16(device))
        classes = {label: number for number, label in enumerate(self.encoder.build_projector(1).text_labels, start=1)}
        tokenizer = parts.load("backbone").text_tokenizer if parts.has("backbone") else None

        def spelt(word: str) -> list[int]:
            names = list(word) if tokenizer is None else tokenizer.convert_ids_to_tokens(tokenizer.encode(f" {word}", add_special_tokens=False))
            return [classes[name] for name in names if name in classes]

        self.spelt: Callable[[str], list[int]] = spelt

    def align(self, clips: Many[Audio], texts: Many[str], languages: Many[str]) -> list[Marks]:
        """The words of each clip, spelt as the model writes them; () of a clip that is too short for its text, or says nothing.

        Args:
            clips: mono, at `rate_hz`.
        """
        found = []
        with self.autocast:
            frames = self.encoder.encode(clips)
        for heard, text, language in zip(frames, texts, languages, strict=True):
            words = self.wording.written(text, language).split()
            found.append(word_marks(heard.values.float().log(), words, [self.spelt(word) for word in words], heard.frame_rate_hz))
        return found


def word_marks(log_probs: Tensor, words: Many[str], classes: Many[list[int]], frame_rate_hz: float) -> Marks:
    """The most likely place of each word (torchaudio's forced_align); () where there is none.

    Args:
        log_probs: [F, C], the blank first.
        classes: of each word; a word without any gets no mark.
    """
    from torchaudio.functional import forced_align, merge_tokens

    targets = [number for word in classes for number in word]
    repeats = sum(a == b for a, b in pairwise(targets))
    if not targets or len(log_probs) < len(targets) + repeats:
        return ()
    path, scores = forced_align(log_probs[None].clamp(min=-60), torch.tensor([targets]), blank=0)
    spans = iter(merge_tokens(path[0], scores[0]))
    heard = []
    for word, numbers in zip(words, classes, strict=True):
        pieces = list(islice(spans, len(numbers)))
        if pieces:
            heard.append((word, pieces[0].start / frame_rate_hz, pieces[-1].end / frame_rate_hz))
    return stretched(heard, len(log_probs) / frame_rate_hz)


def stretched(heard: list[tuple[str, float, float]], end_s: float) -> Marks:
    """Each word from before it is heard up to the next one, or into the pause behind it."""
    starts = [max(0.0, start - LEAD_S) for _, start, _ in heard]
    marks = []
    for (word, _, stop), start, following in zip(heard, starts, [*starts, end_s][1:], strict=True):
        marks.append(Mark(word, round(start, 2), round(following if following - stop <= LONGEST_GAP_S else min(following, stop + TAIL_S), 2)))
    return tuple(marks)


def aligned_cuts(cuts: Iterable[Any], model: str, device: str = "cpu", on_done: Callable[[int, int], None] | None = None) -> Iterator[Any]:
    """lhotse cuts of one utterance each, with `alignment: {word: ...}` beside their text.

    Args:
        on_done: called with the numbers of clips that were read and of those that got marks.
    """
    from lhotse.supervision import AlignmentItem

    aligner, waiting = Aligner(model, device), iter(cuts)
    while batch := list(islice(waiting, AT_ONCE)):
        spoken = [cut for cut in batch if len(cut.supervisions) == 1 and cut.supervisions[0].text]
        clips = [prepare(sound_of(cut), aligner.rate_hz) for cut in spoken]
        marks = dict(
            zip((cut.id for cut in spoken), aligner.align(clips, *([getattr(cut.supervisions[0], name) or "" for cut in spoken] for name in ("text", "language"))), strict=True)
        )
        for cut in batch:
            if marks.get(cut.id):
                cut.supervisions[0].alignment = {"word": [AlignmentItem(m.text, m.start_s, round(m.stop_s - m.start_s, 2)) for m in marks[cut.id]]}
            yield cut
        if on_done:
            on_done(len(batch), sum(map(bool, marks.values())))
