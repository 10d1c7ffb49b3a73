"""The joint vocabulary: the text tokenizer's ids, then named blocks of units. Knows ids and blocks, not what they mean.

AudioPaLM (arXiv 2306.12925): the embedding matrix grows from t to t + a rows; audio tokens are the rows after the text.
With K codebooks there is a block for each; a layout (alm.api.layouts) says how the K ids of a frame stand in a sequence. Where
they stand side by side, each block has one id more: that of a position at which its codebook has no code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence as Many
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from alm.api.cards import TokenizerCard
from alm.api.errors import AlmError, VocabularyMismatchError
from alm.api.layouts import CodebookLayout
from alm.api.types import GIVEN as GIVEN, Units

if TYPE_CHECKING:
    from torch import Tensor

    from alm.api.interfaces import TextTokenizer

SEPARATOR = "\n"
FLATTENED = CodebookLayout()


@dataclass(frozen=True)
class Block:
    """Ids [start, start + size). `fingerprint` is the codebook's for units, empty for text."""

    name: str
    start: int
    size: int
    fingerprint: str = ""


@dataclass(frozen=True)
class SpanRule:
    """What a model may emit next: ids of one kind until `stop_id`, at most `max_ids` of them.

    Attributes:
        renders: what the span says again in the other modality: GIVEN for the input (a transcript), the index of an earlier
            span of the plan (speech of a text just emitted), None for neither (a translation). Decoders may go by it.
        language: of the span, ISO 639-1, or "".
    """

    kind: Literal["text", "units"]
    stop_id: int
    max_ids: int
    min_ids: int = 1
    renders: int | None = None
    language: str = ""


class JointVocabulary:
    """Text ids and unit blocks side by side.

    Args:
        text_tokenizer: its ids stay as they are, rows [0, len(text_tokenizer)).
        units: the card of the tokenizer whose units get blocks, or None for a text-only model.
        layout: how the codes of a frame stand in a sequence.
    """

    def __init__(self, text_tokenizer: TextTokenizer, units: TokenizerCard | None, layout: CodebookLayout = FLATTENED) -> None:
        self.text_tokenizer, self.layout = text_tokenizer, layout
        self.frame_rate_hz = units.frame_rate_hz if units else 0.0
        text = Block("text", 0, len(text_tokenizer), _text_fingerprint(text_tokenizer))
        self.unit_blocks: tuple[Block, ...] = ()
        if units:
            size = units.vocabulary_size + bool(layout.delays)
            self.unit_blocks = tuple(Block(f"units/{k}", text.size + k * size, size, units.fingerprint) for k in range(units.codebooks))
        self.blocks = (text, *self.unit_blocks)
        self.separator_id = self._single_id(SEPARATOR)
        eos = getattr(text_tokenizer, "eos_token_id", None)
        if eos is None:
            raise AlmError("got a text tokenizer without an end token", "an eos_token", "set tokenizer.eos_token before building the vocabulary")
        self.end_id = int(eos)
        self._text_mask: Tensor | None = None

    def __len__(self) -> int:
        return self.blocks[-1].start + self.blocks[-1].size

    @property
    def fingerprint(self) -> str:
        """Hash of all blocks; two vocabularies with the same one give every id the same meaning."""
        blocks = [asdict(block) for block in self.blocks]
        return hashlib.sha256(json.dumps([blocks, self.layout.delays] if self.layout.delays else blocks).encode()).hexdigest()[:16]

    def text_ids(self, text: str) -> list[int]:
        """Ids of a text; line breaks become spaces, since a line break ends a piece.

        Callers put a space in front of a piece, so that its first word has the ids that it has anywhere else.
        """
        return self.text_tokenizer.encode(text.replace(SEPARATOR, " "), add_special_tokens=False)

    def text(self, ids: Many[int]) -> str:
        """Text of ids; those that are not in the text block are left out."""
        kept = [i for i in ids if i < self.blocks[0].size]
        return self.text_tokenizer.decode(kept, skip_special_tokens=True).strip()

    @property
    def empty_ids(self) -> tuple[int, ...]:
        """Of each codebook, where codes stand side by side: the id of a position at which it has none."""
        return tuple(block.start + block.size - 1 for block in self.unit_blocks) if self.layout.delays else ()

    def unit_rows(self, units: Units) -> Tensor:
        """Ids of units by position, [S, streams] int64.

        Raises:
            VocabularyMismatchError: units of another tokenizer.
        """
        self._check_units(units)
        starts = units.codes.new_tensor([block.start for block in self.unit_blocks])
        if not self.layout.delays:
            return self.layout.interleave(units.codes + starts[:, None], 0)
        return self.layout.interleave(units.codes, self.unit_blocks[0].size - 1) + starts

    def unit_positions(self, seconds: float) -> int:
        """Positions that so much sound takes."""
        return self.layout.positions(round(seconds * self.frame_rate_hz), max(1, len(self.unit_blocks)))

    def units(self, ids: Many[int]) -> Units:
        """Units of emitted ids, those of a position one after another; a last frame that is not whole is dropped."""
        import torch

        if not self.unit_blocks:
            raise AlmError("got ids to read as units", "a vocabulary with unit blocks", "use a recipe with a tokenizer")
        streams = self.layout.streams
        kept = [i for i in ids if i >= self.unit_blocks[0].start]
        rows = torch.tensor(kept[: len(kept) // streams * streams], dtype=torch.int64).reshape(-1, streams)
        starts = torch.tensor([block.start for block in self.unit_blocks])
        codes = self.layout.deinterleave(rows, len(self.unit_blocks)) - starts[:, None]
        return Units(codes, self.frame_rate_hz, self.unit_blocks[0].fingerprint)

    def allowed(self, rule: SpanRule, position: int, ended: int = 0) -> Tensor:
        """Bool mask [V] of the ids that may stand at `position` (counted from 0) of a span: of the first codebook, where several
        stand side by side.

        Args:
            ended: positions since the first codebook had its last code, where later ones are delayed.
        """
        import torch

        mask = torch.zeros(len(self), dtype=torch.bool)
        if rule.kind == "text":
            mask |= self._text_ids_mask()
            mask[rule.stop_id] = position >= rule.min_ids
        elif self.layout.tail:
            if ended == self.layout.tail:
                mask[rule.stop_id] = True
                return mask
            mask[self.empty_ids[0]] = ended > 0 or position >= rule.min_ids
            if not ended and position < rule.max_ids - self.layout.tail:
                mask[self.unit_blocks[0].start : self.empty_ids[0]] = True
            elif not ended:
                mask[self.empty_ids[0]] = True
            return mask
        elif self.layout.delays:
            mask[self.unit_blocks[0].start : self.empty_ids[0]] = True
            mask[rule.stop_id] = position >= rule.min_ids
        else:
            k = len(self.unit_blocks)
            block = self.unit_blocks[position % k]
            mask[block.start : block.start + block.size] = True
            mask[rule.stop_id] = position % k == 0 and position >= rule.min_ids
        if position >= rule.max_ids:
            mask[:] = False
            mask[rule.stop_id] = True
        return mask

    def has_code(self, book: int, position: int, ended: int) -> bool:
        """Whether a codebook has a code at a position of a span, or none, where codes stand side by side.

        Args:
            ended: as for `allowed`, this position included.
        """
        delay = self.layout.delays[book]
        return delay <= position and ended <= delay

    def _text_ids_mask(self) -> Tensor:
        """Text ids that stand for ordinary text: no special token, no line break. [V]"""
        import torch

        if self._text_mask is None:
            mask = torch.zeros(len(self), dtype=torch.bool)
            mask[: self.blocks[0].size] = True
            for token, index in self.text_tokenizer.get_vocab().items():  # type: ignore[attr-defined]
                if "\n" in token or "Ċ" in token:
                    mask[index] = False
            mask[list(self.text_tokenizer.all_special_ids)] = False  # type: ignore[attr-defined]
            self._text_mask = mask
        return self._text_mask

    def _check_units(self, units: Units) -> None:
        wanted = self.unit_blocks[0].fingerprint if self.unit_blocks else "none"
        if units.fingerprint != wanted or units.codes.shape[0] != len(self.unit_blocks):
            raise VocabularyMismatchError(
                f"got units of tokenizer {units.fingerprint or 'untrained'} with {units.codes.shape[0]} codebooks",
                f"units of {wanted} with {len(self.unit_blocks)}",
                "tokenize with the tokenizer this vocabulary was built for, or train a model for the new one",
            )

    def _single_id(self, text: str) -> int:
        ids = self.text_tokenizer.encode(text, add_special_tokens=False)
        if len(ids) != 1:
            raise AlmError(f"got a text tokenizer that writes {text!r} as {ids}", "one id", "train it with the line break in its alphabet")
        return int(ids[0])

    def save(self, folder: Path) -> None:
        """Writes vocabulary.json and the text tokenizer's files."""
        self.text_tokenizer.save_pretrained(str(folder / "text_tokenizer"))
        content = {"fingerprint": self.fingerprint, "blocks": [asdict(block) for block in self.blocks]}
        (folder / "vocabulary.json").write_text(json.dumps(content, indent=1))

    def check_saved(self, folder: Path) -> None:
        """Refuses a checkpoint folder that was made with another vocabulary.

        Raises:
            VocabularyMismatchError: naming the first block that differs.
        """
        saved = json.loads((folder / "vocabulary.json").read_text())
        if saved["fingerprint"] == self.fingerprint:
            return
        mine = [asdict(block) for block in self.blocks]
        differing = [a for a, b in zip(saved["blocks"], mine, strict=False) if a != b] or saved["blocks"][len(mine) :] or mine[len(saved["blocks"]) :]
        raise VocabularyMismatchError(
            f"got checkpoint {folder} with vocabulary {saved['fingerprint']}; it differs in block {differing[0]}",
            f"vocabulary {self.fingerprint} of this recipe",
            "load the checkpoint with its own recipe.yaml, or train anew",
        )


def _text_fingerprint(text_tokenizer: TextTokenizer) -> str:
    vocabulary = sorted(text_tokenizer.get_vocab().items(), key=lambda item: item[1])  # type: ignore[attr-defined]
    return hashlib.sha256(json.dumps(vocabulary).encode()).hexdigest()[:16]
