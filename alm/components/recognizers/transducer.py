"""A transducer (RNN-T, arXiv 1211.3711) on any frame encoder: a prediction network that knows what was written, a joiner, greedy and beam search.

Greedy search goes through the frames of a batch of clips together; the beam is torchaudio's, a clip at a time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence as Many
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torchaudio.functional import rnnt_loss
from torchaudio.models import RNNTBeamSearch

from alm.api.batching import pad_frames
from alm.api.cards import RecognizerCard
from alm.api.errors import AlmError, UnknownNameError
from alm.api.interfaces import LoadContext
from alm.api.recognition import Labels
from alm.api.types import Audio
from alm.components.encoders.frames import FrameEncoder, load_encoder
from alm.components.recognizers.cards import TRANSDUCER_FILE, TransducerOptions, encoder_kind, transducer_card

MOST_PER_FRAME = 4  # labels, in greedy search
AT_ONCE = 16  # clips


class Transducer(nn.Module):
    """States of an encoder and what was written so far -> scores of the labels, and of the blank, which is the last class.

    Args:
        size: of the encoder's states.
        labels: class i is labels[i].
    """

    def __init__(self, size: int, labels: Many[str], hidden_size: int = 256, dropout: float = 0.0) -> None:
        super().__init__()
        self.labels, self.blank = tuple(labels), len(labels)
        self.embedding = nn.Embedding(len(labels) + 1, hidden_size)  # the blank begins
        self.memory = nn.LSTM(hidden_size, hidden_size, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.heard, self.written = nn.Linear(size, hidden_size), nn.Linear(hidden_size, hidden_size, bias=False)
        self.scores = nn.Linear(hidden_size, len(labels) + 1)

    def remember(self, classes: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """classes [B, U] behind a state -> [B, U, hidden_size], and the state."""
        output, state = self.memory(self.dropout(self.embedding(classes)), state)
        return self.written(self.dropout(output)), state

    def joined(self, heard: Tensor, written: Tensor) -> Tensor:
        """[..., hidden_size] of both -> scores [..., C]."""
        return self.scores((heard + written).tanh())

    def loss(self, states: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
        """The transducer loss, a label.

        Args:
            states: [B, F, D].
            targets: [B, U] classes.
        """
        begun = torch.cat([torch.full_like(targets[:, :1], self.blank), targets], 1)
        scores = self.joined(self.heard(states)[:, :, None], self.remember(begun)[0][:, None]).float()  # [B, F, U + 1, C]
        total = rnnt_loss(scores, targets.int(), lengths.int(), target_lengths.int(), blank=self.blank, reduction="sum")
        return total / target_lengths.sum().clamp(min=1)

    @torch.inference_mode()
    def greedy(self, states: Tensor, mask: Tensor) -> list[list[int]]:
        """The classes of each clip.

        Args:
            states: [B, F, D]; mask [B, F].
        """
        heard = self.heard(states)
        rows = torch.arange(len(states), device=states.device)
        written, (memory, cell) = self.remember(torch.full((len(states), 1), self.blank, device=states.device))
        found: list[list[int]] = [[] for _ in states]
        for frame in range(states.shape[1]):
            open_rows = mask[:, frame]
            for _ in range(MOST_PER_FRAME):
                best = self.joined(heard[:, frame], written[:, 0]).argmax(-1)
                takes = rows[open_rows & (best != self.blank)]
                if not len(takes):
                    break
                for row, chosen in zip(takes.tolist(), best[takes].tolist(), strict=True):
                    found[row].append(chosen)
                output, (new_memory, new_cell) = self.remember(best[takes][:, None], (memory[:, takes], cell[:, takes]))
                written, memory, cell = written.index_copy(0, takes, output), memory.index_copy(1, takes, new_memory), cell.index_copy(1, takes, new_cell)
                open_rows = torch.zeros_like(open_rows).index_fill(0, takes, 1)
        return found

    def save(self, folder: Path) -> None:
        state = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        save_file(state, folder / TRANSDUCER_FILE, {"labels": json.dumps(self.labels, ensure_ascii=False)})


class ForBeam:
    """What torchaudio's beam search calls an RNN-T; batches come first in its states."""

    def __init__(self, transducer: Transducer) -> None:
        self.transducer = transducer

    def transcribe(self, states: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return self.transducer.heard(states), lengths

    def predict(self, classes: Tensor, lengths: Tensor, state: list[list[Tensor]] | None) -> tuple[Tensor, Tensor, list[list[Tensor]]]:
        before = None if state is None else (state[0][0].transpose(0, 1).contiguous(), state[0][1].transpose(0, 1).contiguous())
        output, after = self.transducer.remember(classes, before)
        return output, lengths, [[value.transpose(0, 1) for value in after]]

    def join(self, heard: Tensor, lengths: Tensor, written: Tensor, written_lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.transducer.joined(heard[:, :, None], written[:, None]), lengths, written_lengths


class TransducerRecognizer:
    """`transducer`. Immutable once loaded."""

    def __init__(self, encoder: FrameEncoder, transducer: Transducer, options: TransducerOptions, card: RecognizerCard) -> None:
        self.encoder, self.transducer, self.options, self.card = encoder, transducer, options, card
        self.labels = Labels(transducer.labels)

    def read(self, audio: Many[Audio], language: str, task: Literal["transcribe", "translate"] = "transcribe") -> list[str]:
        if task != "transcribe":
            raise AlmError(f"got task {task} for a transducer", "a transcript", "choose another recognizer")
        if self.card.languages and language not in self.card.languages:
            raise UnknownNameError(f"got language {language!r}", "a language of its training", f"one of: {', '.join(self.card.languages)}")
        clips = [clip.mono().resample(self.encoder.card.sample_rate_hz) for clip in audio]
        states = [features.values.to(self.transducer.heard.weight.device) for features in self.encoder.encode(clips)]
        texts = [""] * len(clips)
        order = sorted(range(len(clips)), key=lambda index: len(states[index]))
        for start in range(0, len(order), AT_ONCE):
            group = order[start : start + AT_ONCE]
            for index, classes in zip(group, self._searched([states[index] for index in group]), strict=True):
                texts[index] = self.labels.text([c + 1 for c in classes])
        return texts

    @torch.inference_mode()
    def _searched(self, states: list[Tensor]) -> list[list[int]]:
        if self.options.beam == 1:
            return self.transducer.greedy(*pad_frames(states))
        search = RNNTBeamSearch(ForBeam(self.transducer), self.transducer.blank, step_max_tokens=MOST_PER_FRAME)  # type: ignore[arg-type]
        best: list[Any] = [search(own[None], torch.tensor([len(own)], device=own.device), min(self.options.beam, len(self.transducer.labels)))[0] for own in states]
        return [list(hypothesis[0][1:]) for hypothesis in best]


def load_transducer(path: Path) -> Transducer:
    """
    Raises:
        AlmError: a folder without one.
    """
    if not path.is_file():
        raise AlmError(f"got {path.parent}, which has no {TRANSDUCER_FILE}", "a folder that objective transducer left", "train one")
    with safe_open(path, "pt") as file:
        labels = json.loads(file.metadata()["labels"])
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    transducer = Transducer(state["heard.weight"].shape[1], labels, state["heard.weight"].shape[0])
    transducer.load_state_dict(state)
    return transducer.requires_grad_(False).eval()


def load_recognizer(options: TransducerOptions, context: LoadContext) -> TransducerRecognizer:
    card = transducer_card(options, context)
    kind = encoder_kind(options)
    encoder = load_encoder(kind, kind.options(weights=options.weights, layers=options.layers, stride=options.stride), context)
    if hasattr(encoder.network, "normed"):
        encoder.network.normed = True  # as it was trained
    return TransducerRecognizer(encoder, load_transducer(context.folders(options.weights)[0] / TRANSDUCER_FILE).to(context.device), options, card)
