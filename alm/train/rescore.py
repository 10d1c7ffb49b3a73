"""Trains a rescorer on lists of readings: the ones with fewer wrong words are to be ranked higher. Sees texts and the scores of their search.

The lists are made once, by the recipe's own recognizer, of clips that are played with noise: of what it was trained on it would read too much right.
Losses: the expected number of wrong words under the readings' probabilities (MWER, arXiv 1712.01818), and pairs ranked by a logistic loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from alm.api.errors import AlmError
from alm.api.types import Audio, Utterance
from alm.components.rescorers.cards import HEAD_FILE
from alm.core.audio import read_audio
from alm.core.checkpoint import save_steps
from alm.core.parts import Parts
from alm.core.recognition import SearchRecognizer
from alm.train.data import loader
from alm.train.optimize import optimizer_of, progress
from alm.train.options import RescoreOptions

AT_ONCE = 64  # clips


@dataclass(frozen=True, eq=False)
class Readings:
    """What a search made of one clip.

    Attributes:
        scores: of the search [N].
        errors: words that are wrong in each reading [N].
        words: of what was said.
    """

    texts: tuple[str, ...]
    scores: Tensor
    errors: Tensor
    words: int


class RescorerTraining(pl.LightningModule):
    """See the module."""

    def __init__(self, rescorer: Any, options: RescoreOptions, parts: Parts) -> None:
        super().__init__()
        self.rescorer, self.options, self.train_config, self.parts = rescorer, options, parts.recipe.train, parts
        self.train()

    def losses(self, batch: list[Readings]) -> tuple[Tensor, Tensor, list[Tensor]]:
        """MWER and ranking loss, a mean over the clips each, and each clip's scores with what the rescorer adds."""
        counts = [len(readings.texts) for readings in batch]
        added = self.rescorer([text for readings in batch for text in readings.texts]).split(counts)
        expected, ranked, totals = [], [], []
        for readings, own in zip(batch, added, strict=True):
            errors = readings.errors.to(own.device)
            total = readings.scores.to(own.device) + own
            totals.append(total)
            expected.append((total.softmax(0) * (errors - errors.mean())).sum())
            better = errors[:, None] < errors[None]
            ranked.append(F.softplus(own[None] - own[:, None])[better].mean() if bool(better.any()) else own.new_zeros(()))
        return torch.stack(expected).mean(), torch.stack(ranked).mean(), totals

    def training_step(self, batch: list[Readings], _: int) -> Tensor:
        expected, ranked, _totals = self.losses(batch)
        self.log_dict({"mwer": expected, "ranking": ranked}, prog_bar=True, batch_size=len(batch))
        return expected + self.options.ranking_weight * ranked

    def validation_step(self, batch: list[Readings], _: int) -> None:
        expected, ranked, totals = self.losses(batch)
        self.log_dict({"val/mwer": expected, "val/ranking": ranked}, batch_size=len(batch))
        for readings, total in zip(batch, totals, strict=True):
            chosen = {"first": 0, "rescored": int(total.argmax()), "best": int(readings.errors.argmin())}
            self.log_dict({f"val/wer_{name}": 100 * readings.errors[place] / readings.words for name, place in chosen.items()}, batch_size=readings.words)

    def batch_tokens(self, batch: list[Readings]) -> int:
        """Characters."""
        return sum(len(text) for readings in batch for text in readings.texts)

    def transfer_batch_to_device(self, batch: list[Readings], device: Any, _: int) -> list[Readings]:
        return batch

    def configure_optimizers(self) -> Any:
        return optimizer_of(self.named_parameters(), self.train_config, lambda: progress(self))

    def save_part(self, folder: Path) -> None:
        """The rescorer, and the recognizer around it: a model that transcribes."""
        self.rescorer.save(folder)
        save_steps(folder, self.parts, {"rescorer": {"weights": "dir:."}})

    def load_part(self, folder: Path) -> None:
        """Goes on from an earlier rescorer of the same sizes."""
        self.rescorer.encoder.load_state_dict(load_file(folder / "model.safetensors"))
        self.rescorer.head.load_state_dict(load_file(folder / HEAD_FILE))


def build(parts: Parts, options: RescoreOptions, track: Any) -> tuple[RescorerTraining, Any, Any]:
    """The module and its loaders; `data.batch_positions` counts characters of all readings.

    Raises:
        AlmError: no clip of which there is more than one reading.
    """
    config, recognizer = parts.recipe, SearchRecognizer(parts, rescores=False)
    loaders = []
    for split in ("train", config.data.validation_split):
        spoken = [u for u in parts.utterances(split) if u.audio is not None and u.text]
        items = _lists(recognizer, spoken, options, noisy=split == "train", track=track)
        if split == "train":
            items = [readings for readings in items if float(readings.errors.min()) < float(readings.errors.max())]
        if not items:
            raise AlmError(f"recipe {config.name!r} has no clip of split {split!r} with several readings", "parts.search.readings above 1, and clips", "set it, for instance to 8")
        lengths = [max(map(len, readings.texts)) * len(readings.texts) for readings in items]
        loaders.append(loader(items, lengths, config.data.batch_positions, list, shuffle=split == "train", seed=config.train.seed))
    return RescorerTraining(parts.load("rescorer"), options, parts), *loaders


def _lists(recognizer: SearchRecognizer, spoken: list[Utterance], options: RescoreOptions, *, noisy: bool, track: Any) -> list[Readings]:
    generator = torch.Generator().manual_seed(0)
    batches = [list(range(start, min(start + AT_ONCE, len(spoken)))) for start in range(0, len(spoken), AT_ONCE)]
    found = []
    for batch in track(batches, len(batches)):
        clips = [read_audio(spoken[i].audio) for i in batch]  # type: ignore[arg-type]
        if noisy:
            clips = [with_noise(clip, options.least_snr_db, options.most_snr_db, generator) for clip in clips]
        for index, readings in zip(batch, recognizer.readings(clips), strict=True):
            wanted = recognizer.wording.written(spoken[index].text, spoken[index].language)
            if not wanted or not readings:
                continue
            measured = [jiwer.process_words(wanted, reading.text) for reading in readings]
            errors = torch.tensor([float(m.substitutions + m.deletions + m.insertions) for m in measured])
            found.append(Readings(tuple(r.text for r in readings), torch.tensor([r.score for r in readings]), errors, len(wanted.split())))
    return found


def with_noise(clip: Audio, least_db: float, most_db: float, generator: torch.Generator) -> Audio:
    """A clip with white noise, as much softer as a number of dB between the two says."""
    snr_db = least_db + (most_db - least_db) * float(torch.rand((), generator=generator))
    loudness = clip.samples.pow(2).mean().sqrt() * 10 ** (-snr_db / 20)
    return Audio(clip.samples + loudness * torch.randn(clip.samples.shape, generator=generator), clip.sample_rate_hz)
