"""Preference training: of two answers to one request, the better one is to become likelier. Sees ids and features, never audio.

Direct preference optimization (Rafailov et al., arXiv 2305.18290). The reference is the model that training starts from; what it makes of
each answer is reckoned once and kept, so that one network is in memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from alm.api.batching import batches_by_length
from alm.api.errors import AlmError
from alm.api.interfaces import PreferenceCorpus
from alm.api.types import Sequence
from alm.core.assemble import assemble
from alm.core.parts import Parts
from alm.train.data import loader
from alm.train.lm import Batch, LanguageModelTraining, collate
from alm.train.mixture import with_own_units
from alm.train.optimize import optimizer_of, progress
from alm.train.options import DpoOptions, LmOptions

Pair = tuple[int, Sequence, Sequence]  # its number, the better answer, the worse one


class PreferenceTraining(pl.LightningModule):
    """A language model under the loss of pairs.

    Args:
        pairs: of each split, in the order of their numbers.
        batch_positions: of a batch, when the reference is reckoned.
    """

    def __init__(self, lm: LanguageModelTraining, pairs: dict[str, list[Pair]], options: DpoOptions, train: Any, batch_positions: int) -> None:
        super().__init__()
        self.lm, self.pairs, self.options, self.train_config, self.batch_positions = lm, pairs, options, train, batch_positions
        for split, found in pairs.items():
            self.register_buffer(f"reference_{split}", torch.full((len(found), 2), torch.nan))
            self.register_buffer(f"likelier_{split}", torch.full((len(found),), torch.nan))  # by the reference

    def log_probs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Of each answer: the sum over its ids, and their mean, [B] each; better and worse by turns."""
        losses, _targets, rows, _states = self.lm.losses(batch, augment=False)
        total = -losses.new_zeros(len(batch.ids)).index_add(0, rows, losses)
        return total, total / torch.bincount(rows, minlength=len(batch.ids))

    def loss(self, numbers: Tensor, batch: Batch, reference: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The loss of a batch of pairs, which of them became likelier by more than the other did, and which are likelier, [B] bool."""
        total, mean = self.log_probs(batch)
        better, worse = (total.view(-1, 2) - reference[numbers]).unbind(1)
        margin = self.options.beta * (better - worse)
        loss = -F.logsigmoid(margin) - self.options.likelihood_weight * mean.view(-1, 2)[:, 0]
        return loss.mean(), margin > 0, mean[::2] > mean[1::2]

    def training_step(self, given: tuple[Tensor, Batch], _: int) -> Tensor:
        loss, gained, _likelier = self.loss(*given, self.reference_train)
        self.log_dict({"loss": loss, "gained": gained.float().mean()}, prog_bar=True)
        return loss

    def validation_step(self, given: tuple[Tensor, Batch], _: int) -> None:
        loss, gained, likelier = self.loss(*given, self.reference_validation)
        before = self.likelier_validation[given[0]].mean()
        shares = {"val/gained": gained.float().mean(), "val/likelier": likelier.float().mean(), "val/likelier_before": before}
        self.log_dict({"val/dpo": loss, **shares}, batch_size=len(likelier))

    def batch_tokens(self, given: tuple[Tensor, Batch]) -> int:
        """Positions that are not padding."""
        return self.lm.batch_tokens(given[1])

    def configure_optimizers(self) -> Any:
        return optimizer_of(self.lm.named_parameters(), self.train_config, lambda: progress(self))

    def save_part(self, folder: Path) -> None:
        self.lm.save_part(folder)

    @torch.inference_mode()
    def load_part(self, folder: Path) -> None:
        """Starts from a model, which is the reference too."""
        self.lm.load_part(folder)
        self.eval()
        for split in self.pairs:
            reference, likelier = getattr(self, f"reference_{split}"), getattr(self, f"likelier_{split}")
            for numbers, batch in self._batches(split):
                total, mean = self.log_probs(batch)
                reference[numbers] = total.view(-1, 2)
                likelier[numbers] = (mean[::2] > mean[1::2]).float()
        self.train()

    def _batches(self, split: str) -> list[tuple[Tensor, Batch]]:
        pairs = self.pairs[split]
        groups = batches_by_length([_length(pair) for pair in pairs], self.batch_positions)
        return [pairs_batch([pairs[number] for number in group]) for group in groups]

    def transfer_batch_to_device(self, given: tuple[Tensor, Batch], device: Any, number: int) -> tuple[Tensor, Batch]:
        return given[0].to(device), self.lm.transfer_batch_to_device(given[1], device, number)


def _length(pair: Pair) -> int:
    return len(pair[1]) + len(pair[2])


def pairs_batch(pairs: list[Pair]) -> tuple[Tensor, Batch]:
    """Numbers [B] and a batch of 2 B rows, better and worse by turns."""
    return torch.tensor([number for number, *_ in pairs]), collate([(0, sequence) for _, *both in pairs for sequence in both])


def build(parts: Parts, options: DpoOptions, track: Any) -> tuple[PreferenceTraining, Any, Any]:
    """The module and its loaders."""
    config, model, prompt = parts.recipe, assemble(parts), parts.load("prompt")
    splits = {"train": "train", "validation": config.data.validation_split}
    pairs: dict[str, list[Pair]] = {name: [] for name in splits}
    for name, split in splits.items():
        for _, corpus in parts.corpora():
            if isinstance(corpus, PreferenceCorpus):
                for answers in corpus.preferences(split):
                    better, worse = (prompt.encode(with_own_units(sample, parts), model.vocabulary) for sample in answers)
                    pairs[name].append((len(pairs[name]), better, worse))
    if not pairs["train"]:
        raise AlmError(f"recipe {config.name!r} has no pair to train on", "a corpus such as `preferences` with a train split", "write one with `alm prefer`")
    module = PreferenceTraining(
        LanguageModelTraining(model, parts, LmOptions(half_precision_checkpoint=options.half_precision_checkpoint)), pairs, options, config.train, config.data.batch_positions
    )

    def loaded(name: str, *, shuffle: bool) -> Any:
        return loader(pairs[name], [_length(pair) for pair in pairs[name]], config.data.batch_positions, pairs_batch, shuffle=shuffle, seed=config.train.seed)

    return module, loaded("train", shuffle=True), loaded("validation", shuffle=False)
