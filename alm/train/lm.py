"""Trains the language model: next ids of a mixture of tasks, loss on outputs only. Sees ids and features, never audio.

Scores are computed for learnt positions alone, so the cost of a large vocabulary is paid only where there is a loss.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from alm.api.batching import pad_frames
from alm.api.errors import AlmError
from alm.api.interfaces import SampleCorpus
from alm.api.types import SLOT_ID, Features, Sample, Sequence, Slot, Units
from alm.api.vocabulary import JointVocabulary
from alm.core.assemble import Model, assemble, input_embeddings
from alm.core.checkpoint import holds_lora, load_state, save_checkpoint
from alm.core.parts import Parts
from alm.train.augment import replace_rows
from alm.train.data import loaded
from alm.train.guide import Guide, GuidedAttention, guides_of
from alm.train.mixture import Mixture, MixtureBatches, drawn
from alm.train.optimize import optimizer_of, progress
from alm.train.options import LmOptions
from alm.train.rows import start_rows_from_codebook, start_rows_from_labels, start_rows_from_times, start_rows_from_words
from alm.train.together import share_out


@dataclass(frozen=True, eq=False)
class Batch:
    """Right-padded sequences: with a causal network, padding on the right needs no mask."""

    ids: Tensor  # [B, S] int64; SLOT_ID where a feature goes
    learn: Tensor  # [B, S] bool
    heard: Tensor  # [B, S] bool: input units and features
    slots: list[tuple[int, Slot]] = field(default_factory=list)  # row, slot
    tasks: list[int] = field(default_factory=list)
    transcripts: dict[int, list[int]] = field(default_factory=dict)  # row -> text ids of what it hears
    heard_spans: dict[int, list[slice]] = field(default_factory=dict)  # row -> where `heard` is True
    guides: list[Guide] = field(default_factory=list)
    more: Tensor | None = None  # [B, S, K - 1] int64: as Sequence.more
    lengths: Tensor | None = None  # [B] int64


def collate(items: list[tuple[int, Sequence]], transcripts: dict[int, list[int]] | None = None, guides: list[Guide] | None = None) -> Batch:
    """Pads sequences to a batch; `transcripts` by row, for the CTC loss."""
    ids, _ = pad_frames([s.ids for _, s in items])
    learn, _ = pad_frames([s.learn for _, s in items])
    heard = torch.zeros_like(learn)
    spans: dict[int, list[slice]] = {}
    for row, (_, sequence) in enumerate(items):
        spans[row] = [slice(s.start, s.stop) for s in sequence.spans if s.kind in ("units", "features") and not bool(sequence.learn[s.start])]
        for span in spans[row]:
            heard[row, span] = True
    slots = [(row, slot) for row, (_, s) in enumerate(items) for slot in s.slots]
    streams = [s.more for _, s in items if s.more is not None]
    more = pad_sequence(streams, batch_first=True, padding_value=-1) if streams else None
    lengths = torch.tensor([len(s) for _, s in items])
    return Batch(ids, learn, heard, slots, [task for task, _ in items], transcripts or {}, spans, guides or [], more, lengths)


class LanguageModelTraining(pl.LightningModule):
    """Backbone, projector and depth transformer under a next-id loss."""

    def __init__(self, model: Model, parts: Parts, options: LmOptions) -> None:
        super().__init__()
        backbone, vocabulary = model.backbone, model.vocabulary
        self.backbone, self.projector, self.depth = backbone, model.projector, model.depth
        self.vocabulary, self.parts, self.options = vocabulary, parts, options
        self.train_config = parts.recipe.train
        hears = [parts.task(task.use).card.hears for task in parts.recipe.data.tasks]
        self.task_names = [f"{task.use} {task.audio}" if heard else task.use for task, heard in zip(parts.recipe.data.tasks, hears, strict=True)]
        self.task_names += [config.use for config, corpus in parts.corpora() if isinstance(corpus, SampleCorpus)]
        self.blank = nn.Parameter(torch.zeros(backbone.card.hidden_size), requires_grad=options.ctc_weight > 0)
        self.guide = GuidedAttention(backbone) if options.guide_weight else None
        if self.guide is not None and options.guide_copies:
            self.guide.start_copying()
        self.units = vocabulary.unit_ids
        freeze(model, options.freeze)
        self.train()  # a checkpoint arrives in evaluation mode, and Lightning leaves modes as they are

    def configure_model(self) -> None:
        share_out(self, self.backbone)

    def on_fit_start(self) -> None:
        if "backbone" in self.options.freeze:  # not sooner: what training starts or goes on from is loaded now
            pass_over_idle_lora(self.backbone)

    def losses(self, batch: Batch, *, augment: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Cross-entropy of each learnt id [N], the ids [N], the row of each [N], and the hidden states [B, S - 1, D]."""
        ids = self._disturbed(batch) if augment else batch.ids
        embeddings = input_embeddings(self.backbone, self.projector, ids, batch.slots, batch.more)
        if augment and batch.slots and self.options.replace_frames:
            embeddings = self._disturbed_features(embeddings, batch.heard & (batch.ids == SLOT_ID))
        embeddings = F.dropout(embeddings, self.train_config.dropout, self.training)
        states = self.backbone.hidden(embeddings[:, :-1])
        learnt = batch.learn[:, 1:]
        hidden = F.dropout(states[learnt], self.train_config.dropout, self.training)
        targets = batch.ids[:, 1:][learnt]
        rows = learnt.nonzero()[:, 0]
        losses = F.cross_entropy(self.backbone.scores(hidden).float(), targets, reduction="none")
        if batch.more is not None:
            further = self._further_losses(hidden, targets, batch.more[:, 1:][learnt])
            losses, targets, rows = torch.cat([losses, further[0]]), torch.cat([targets, further[1]]), torch.cat([rows, rows[further[2]]])
        return losses, targets, rows, states

    def _further_losses(self, hidden: Tensor, first: Tensor, more: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cross-entropy of the further ids at each position that has them, of other codebooks or of text, within their own block.

        Args:
            hidden, first, more: states [N, D], ids of the first codebook [N] and of the others [N, K - 1].

        Returns:
            Losses, ids and positions (of N), [M] each; a position without a code is as much to be learnt as one with.
        """
        where = (more[:, 0] >= 0).nonzero()[:, 0]
        hidden, ids = hidden[where], torch.cat([first[:, None], more], 1)[where]
        states = hidden[:, None].expand(-1, more.shape[1], -1) if self.depth is None else self.depth(hidden, self.backbone.embed(ids[:, :-1]))
        losses = []
        for book, block in enumerate(self.vocabulary.further_blocks, start=1):
            scores = self.backbone.block_scores(states[:, book - 1], block.start, block.start + block.size)
            losses.append(F.cross_entropy(scores.float(), ids[:, book] - block.start, reduction="none"))
        return torch.cat(losses), ids[:, 1:].T.flatten(), where.repeat(more.shape[1])

    def ctc_loss(self, batch: Batch, states: Tensor) -> Tensor:
        """CTC of the transcripts over the states at heard frames; the text rows score the ids, a learnt row the blank."""
        rows = [row for row in batch.transcripts if batch.heard_spans.get(row)]
        if not rows:  # what is heard is to be learnt too
            return states.new_zeros(())
        frames, mask = pad_frames([torch.cat([states[row, span] for span in batch.heard_spans[row]]) for row in rows])
        text = self.vocabulary.blocks[0].size
        scores = torch.cat([self.backbone.scores(frames)[..., :text], (frames @ self.blank)[..., None]], -1)
        targets = torch.tensor([i for row in rows for i in batch.transcripts[row]], device=states.device)
        lengths = torch.tensor([len(batch.transcripts[row]) for row in rows])
        return F.ctc_loss(scores.float().log_softmax(-1).transpose(0, 1), targets, mask.sum(1).cpu(), lengths, blank=text, zero_infinity=True)

    def _is_unit(self, ids: Tensor) -> Tensor:
        return (ids >= self.units.start) & (ids < self.units.stop)

    def _disturbed(self, batch: Batch) -> Tensor:
        """Ids with some heard and teacher-forced units and some teacher-forced text ids replaced at random; the targets stay
        true."""
        ids, options, blocks = batch.ids.clone(), self.options, self.vocabulary.unit_blocks
        last_unit = self.units.stop if self.vocabulary.layout.streams == 1 else blocks[0].start + blocks[0].size if blocks else 0
        for share, where in ((options.replace_frames, batch.heard), (options.replace_units, batch.learn)):
            if share and blocks:
                hit = where & self._is_unit(ids) & (torch.rand(ids.shape, device=ids.device) < share)
                ids[hit] = torch.randint(self.units.start, last_unit, (int(hit.sum()),), device=ids.device)
        if options.replace_text:
            text = batch.learn & (ids < self.vocabulary.blocks[0].size) & ~torch.isin(ids, torch.tensor(self.vocabulary.end_ids, device=ids.device))
            hit = text & (torch.rand(ids.shape, device=ids.device) < options.replace_text)
            ids[hit] = torch.randint(0, self.vocabulary.blocks[0].size, (int(hit.sum()),), device=ids.device)
        return ids

    def _disturbed_features(self, embeddings: Tensor, heard: Tensor) -> Tensor:
        """Some heard features replaced by others of the batch: what a recognizer mishears on speech it was not trained on."""
        disturbed = embeddings.clone()
        disturbed[heard] = replace_rows(embeddings[heard], self.options.replace_frames)
        return disturbed

    def training_step(self, batch: Batch, _: int) -> Tensor:
        losses, targets, _rows, states = self.losses(batch, augment=True)
        units = self._is_unit(targets)
        weights = torch.where(units, self.options.unit_loss_weight, 1.0)
        loss = (losses * weights).sum() / weights.sum()
        self.log_dict({"loss": loss, "tokens": float(batch.ids.numel())}, prog_bar=True)
        self.log_dict({name: losses[mine].mean() for name, mine in (("text", ~units), ("units", units)) if bool(mine.any())})
        if batch.transcripts:
            ctc = self.ctc_loss(batch, states)
            self.log("ctc", ctc, prog_bar=True)
            loss = loss + self.options.ctc_weight * ctc
        guide_weight = self.options.guide_weight * max(0.0, 1 - self.global_step / self.options.guide_steps)
        if self.guide is not None and guide_weight and batch.guides:
            guide = self.guide.loss(batch.guides)
            self.log("guide", guide, prog_bar=True)
            loss = loss + guide_weight * guide
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        losses, _targets, rows, _states = self.losses(batch, augment=False)
        for row, task in enumerate(batch.tasks):
            mine = losses[rows == row]
            if len(mine):
                self.log(f"val/{self.task_names[task]}", mine.mean(), batch_size=len(mine))

    def batch_tokens(self, batch: Batch) -> int:
        """Positions that are not padding."""
        return int((batch.ids != 0).sum())

    def configure_optimizers(self) -> Any:
        return optimizer_of(self.named_parameters(), self.train_config, lambda: progress(self))

    def save_part(self, folder: Path) -> None:
        save_checkpoint(folder, self._model, self.parts, half=self.options.half_precision_checkpoint)

    def load_part(self, folder: Path) -> None:
        """Starts from a checkpoint of the same vocabulary."""
        load_state(folder, self._model)

    @property
    def _model(self) -> Model:
        return Model(self.backbone, self.projector, self.vocabulary, self.depth)

    def transfer_batch_to_device(self, batch: Batch, device: Any, _: int) -> Batch:
        more = None if batch.more is None else batch.more.to(device)
        lengths = None if batch.lengths is None else batch.lengths.to(device)
        return replace(batch, ids=batch.ids.to(device), learn=batch.learn.to(device), heard=batch.heard.to(device), more=more, lengths=lengths)


def freeze(model: Model, parts: tuple[str, ...]) -> None:
    """Lets parts of a model rest (`LmOptions.freeze`).

    Raises:
        AlmError: a part that the model has not, or no part left to be trained.
    """
    encoder = getattr(model.projector, "network", None)
    modules = {"backbone": model.backbone, "encoder": encoder, "projector": model.projector if encoder is None else getattr(model.projector, "projector", None)}
    for name in parts:
        module = modules[name]
        if module is None:
            fix = "set `live: true` of encoder whisper" if name == "encoder" else "leave it out"
            raise AlmError(f"got train.options.freeze {name} for a model that trains none", "a part that it trains", fix)
        module.requires_grad_(False)
        if name == "backbone" and len(model.vocabulary) > model.vocabulary.blocks[0].size:
            model.backbone.freeze_rows(model.vocabulary.blocks[0].size)
    if not any(parameter.requires_grad for module in (model.backbone, model.projector) if module is not None for parameter in module.parameters()):
        raise AlmError(f"got train.options.freeze {list(parts)}, which leaves nothing", "a part that is trained", "leave one out")


def pass_over_idle_lora(backbone: nn.Module) -> None:
    """LoRA layers that add nothing yet are not computed while their backbone rests, which takes half of a step otherwise."""
    if not holds_lora(backbone):
        return
    from peft.tuners.lora import LoraLayer

    for layer in backbone.modules():
        if isinstance(layer, LoraLayer) and not any(bool(part.weight.any()) for part in layer.lora_B.values()):
            layer.enable_adapters(False)


def transcript(sample: Sample) -> str:
    """The text that a sample's given speech says, where the sample emits it; "" otherwise."""
    given = [s for s in sample.segments() if not s.learn]
    learnt = [s for s in sample.segments() if s.learn]
    if not given or not learnt or not all(isinstance(s.content, Units | Features) for s in given):
        return ""
    first = learnt[0]
    return first.content if isinstance(first.content, str) and first.renders(given[0]) else ""


Change = Callable[[Sequence, JointVocabulary, random.Random], Sequence]


def build(
    parts: Parts, options: LmOptions, track: Any, training: type[LanguageModelTraining] = LanguageModelTraining, change: Change | None = None, growth: float = 1.0
) -> tuple[LanguageModelTraining, Any, Any]:
    """The module and its loaders.

    Args:
        training: the module, for objectives that differ in their loss.
        change: made of each sequence, anew each time but for validation, for objectives that differ in what is learnt.
        growth: how much longer `change` makes a sequence, for the size of batches.

    Raises:
        AlmError: options that do not go with the parts.
    """
    config = parts.recipe
    model = assemble(parts)
    if config.train.precision == "bf16-mixed" and not torch.cuda.is_available():
        model.backbone.model.set_attn_implementation("eager")  # torch's fused attention is the slower one for bfloat16 on a CPU
    if options.guide_copies and holds_lora(model.backbone):
        raise AlmError("got guide_copies with LoRA, which keeps no change of the weights under it", "one of them", "set train.options.guide_copies: false")
    module = training(model, parts, options)
    started_from = getattr(model.backbone, "started_from", None)
    begun = 0 if started_from is None else model.vocabulary.check_begun(started_from)  # ids whose rows are trained
    if options.unit_rows != "normal" and begun > model.vocabulary.blocks[0].size:
        raise AlmError(
            f"got unit_rows {options.unit_rows} for a checkpoint whose unit rows are trained",
            "unit_rows: normal, which keeps them",
            "correct train.options, or start from text alone",
        )
    if options.unit_rows == "codebook":
        start_rows_from_codebook(model, parts.load("tokenizer"))
    elif options.unit_rows == "labels":
        start_rows_from_labels(model, parts.load("unit_decoder"))
    if started_from is not None or model.backbone.card.pretrained:
        start_rows_from_words(model, begun)
    start_rows_from_times(model, parts.card("prompt").times, begun)
    prompt = parts.load("prompt")
    count_ids = lru_cache(maxsize=None)(lambda text: len(model.vocabulary.text_ids(" " + text)))
    train, validation = (Mixture(parts, split, count_ids, track) for split in ("train", config.data.validation_split))

    def encoded(draws: list[tuple[int, Sample]]) -> Batch:
        transcripts = {row: model.vocabulary.text_ids(" " + text) for row, (_, sample) in enumerate(draws) if options.ctc_weight and (text := transcript(sample))}
        sequences = [prompt.encode(sample, model.vocabulary) for _, sample in draws]
        if change is not None:
            chance = random.Random(random.getrandbits(64))
            sequences = [change(sequence, model.vocabulary, chance) for sequence in sequences]
        guides = [guide for row, (_, sample) in enumerate(draws) for guide in guides_of(row, sample, sequences[row])] if options.guide_weight else []
        return collate([(task, sequence) for (task, _), sequence in zip(draws, sequences, strict=True)], transcripts, guides)

    size, seed = round(config.data.batch_positions / growth), config.train.seed
    train_loader = loaded(lambda draw: drawn(train, draw, options.tempo), encoded, MixtureBatches(train, size, seed, options.join))
    validation_batches = MixtureBatches(validation, size, 0, shuffle=False) if validation.entries else []
    validation_loader = loaded(lambda draw: drawn(validation, draw), encoded, validation_batches)
    return module, train_loader, validation_loader
