"""The joint vocabulary: the text tokenizer's ids, then named blocks of units. Knows ids and blocks, not what they mean.

AudioPaLM (arXiv 2306.12925): the embedding matrix grows from t to t + a rows; audio tokens are the rows after the text.
With K codebooks there is a block for each; a layout (alm.api.layouts) says how the K ids of a frame stand in a sequence. Where
they stand side by side, each block has one id more: that of a position at which its codebook has no code.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence as Many
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from alm.api.cards import TokenizerCard
from alm.api.errors import AlmError, UnknownNameError, VocabularyMismatchError, did_you_mean
from alm.api.layouts import CodebookLayout
from alm.api.plans import SpanRule
from alm.api.types import Units

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


class JointVocabulary:
    """Text ids, unit blocks and tags side by side.

    Args:
        text_tokenizer: its ids stay as they are, rows [0, len(text_tokenizer)).
        units: the card of the tokenizer whose units get blocks, or None for a text-only model.
        layout: how the codes of a frame stand in a sequence.
        tags: of the prompt format, each an id of its own, in rows after the units; one that the text tokenizer has as a token keeps its id.
        unit_token: how a text tokenizer that was extended already names a unit, such as "<{}>": one that has all units and tags keeps
            their ids, and the text is what stands before them.

    Raises:
        AlmError: a text tokenizer that has some of them, or has them in another order.
    """

    def __init__(self, text_tokenizer: TextTokenizer, units: TokenizerCard | None, layout: CodebookLayout = FLATTENED, tags: Many[str] = (), unit_token: str = "") -> None:
        self.text_tokenizer, self.layout, self.tags = text_tokenizer, layout, tuple(tags)
        self.frame_rate_hz = units.frame_rate_hz if units else 0.0
        size = units.vocabulary_size + bool(layout.delays) if units else 0
        books = units.codebooks if units else 0
        names = [unit_token.format(i) for i in range(size)] if unit_token and books == 1 else []
        known = _known_start(text_tokenizer, [*names, *self.tags]) if names else None
        text = Block("text", 0, len(text_tokenizer) if known is None else known, _text_fingerprint(text_tokenizer))
        self.unit_blocks = tuple(Block(f"units/{k}", text.size + k * size, size, units.fingerprint if units else "") for k in range(books))
        self.blocks: tuple[Block, ...] = (text, *self.unit_blocks)
        pieces = text_tokenizer.get_vocab() if self.tags and known is None else {}  # type: ignore[attr-defined]
        self._tag_ids = {tag: pieces[tag] for tag in self.tags if tag in pieces}
        new = [tag for tag in self.tags if tag not in self._tag_ids]
        if new:
            self.blocks += (Block("tags", text.size + books * size, len(new)),)
        self._tag_ids |= {tag: self.blocks[-1].start + number for number, tag in enumerate(new)}
        eos = getattr(text_tokenizer, "eos_token_id", None)
        if eos is None:
            raise AlmError("got a text tokenizer without an end token", "an eos_token", "set tokenizer.eos_token before building the vocabulary")
        self.end_id = int(eos)
        self._text_mask: Tensor | None = None

    def __len__(self) -> int:
        return max(self.blocks[-1].start + self.blocks[-1].size, len(self.text_tokenizer))

    @property
    def separator_id(self) -> int:
        """The line break's, with which formats in plain text part their pieces.

        Raises:
            AlmError: a text tokenizer that writes it as several ids.
        """
        if self._separator_id is None:
            raise AlmError(f"got a text tokenizer that writes {SEPARATOR!r} as several ids", "one id", "train it with the line break in its alphabet")
        return self._separator_id

    @cached_property
    def _separator_id(self) -> int | None:
        ids = self.text_tokenizer.encode(SEPARATOR, add_special_tokens=False)
        return int(ids[0]) if len(ids) == 1 else None

    def tag_id(self, tag: str) -> int:
        """
        Raises:
            UnknownNameError: no tag of the format.
        """
        if tag not in self._tag_ids:
            raise UnknownNameError(f"got tag {tag!r}", "a tag of the prompt format", did_you_mean(tag, self.tags) if self.tags else "choose another format")
        return self._tag_ids[tag]

    @cached_property
    def _tag_names(self) -> dict[int, str]:
        return {index: tag for tag, index in self._tag_ids.items()}

    def tag_name(self, index: int) -> str:
        """The tag of an id, "" of one that is none."""
        return self._tag_names.get(index, "")

    @cached_property
    def _special_ids(self) -> set[int]:
        """What no text may have, though the text tokenizer would read it there."""
        return {*self.text_tokenizer.all_special_ids, *self._tag_names} - {self.text_tokenizer.unk_token_id}  # type: ignore[attr-defined]

    @property
    def unit_ids(self) -> range:
        """Ids of units of any codebook."""
        return range(self.unit_blocks[0].start, self.unit_blocks[-1].start + self.unit_blocks[-1].size) if self.unit_blocks else range(0)

    def kind_of(self, index: int) -> Literal["text", "units", "tag", "end"]:
        """What an id is; the line break and the end token are ends."""
        if index in self.unit_ids:
            return "units"
        if index >= self.blocks[0].size or index in self._tag_names:
            return "tag"
        return "end" if index in self.end_ids else "text"

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The end token, and the line break where it is one id."""
        return (self.end_id,) if self._separator_id is None else (self.end_id, self._separator_id)

    @property
    def fingerprint(self) -> str:
        """Hash of all blocks; two vocabularies with the same one give every id the same meaning."""
        blocks = [asdict(block) for block in self.blocks]
        beside = [list(part) for part in (self.layout.delays, self.tags) if part]
        return hashlib.sha256(json.dumps([blocks, *beside] if beside else blocks).encode()).hexdigest()[:16]

    def text_ids(self, text: str) -> list[int]:
        """Ids of a text; line breaks become spaces, since a line break ends a piece.

        Callers put a space in front of a piece, so that its first word has the ids that it has anywhere else.

        Raises:
            AlmError: a text that holds what an extended text tokenizer reads as a unit or a tag.
        """
        ids = self.text_tokenizer.encode(text.replace(SEPARATOR, " "), add_special_tokens=False)
        beyond = [index for index in ids if index >= self.blocks[0].size or index in self._special_ids]
        if beyond:
            raise AlmError(f"got text with {self.text_tokenizer.decode(beyond[:1])!r}, which is a unit or a tag, or another special token", "text alone", "take it out")
        return ids

    def text(self, ids: Many[int]) -> str:
        """Text of ids; those that are not in the text block are left out."""
        kept = [i for i in ids if i < self.blocks[0].size and i not in self._tag_names]
        return self.text_tokenizer.decode(kept, skip_special_tokens=True).strip()

    def spelt(self, ids: Many[int]) -> str:
        """Ids as a string, as papers print sequences: text as it is, tags by name, units as `<661>`; a slot of features as nothing."""
        written, text = [], list[int]()
        for index in [*ids, None]:
            if index is not None and 0 <= index < self.blocks[0].size and index not in self._tag_names:
                text.append(index)
                continue
            if text:
                written.append(self.text_tokenizer.decode(text, skip_special_tokens=False, clean_up_tokenization_spaces=False))  # type: ignore[call-arg]
                text = []
            if index is not None and index in self.unit_ids:
                written.append(f"<{(index - self.unit_ids.start) % self.unit_blocks[0].size}>")
            elif index is not None:
                written.append(self.tag_name(index))
        return "".join(written)

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

    @property
    def streams(self) -> int:
        """Ids at one position."""
        return self.layout.streams + self.layout.text_beside

    @property
    def further_blocks(self) -> tuple[Block, ...]:
        """The blocks of ids that stand beside the first one of a position: of the other codebooks, or of text."""
        return (self.blocks[0],) if self.layout.text_beside else self.unit_blocks[1:]

    @property
    def turn_ids(self) -> tuple[int, int]:
        """Ids of text and of units that take turns, by the layout; whole frames."""
        text, frames = self.layout.turns
        return text, frames * max(1, len(self.unit_blocks))

    def units(self, ids: Many[int]) -> Units:
        """Units of emitted ids, those of a position one after another; a last frame that is not whole is dropped."""
        import torch

        if not self.unit_blocks:
            raise AlmError("got ids to read as units", "a vocabulary with unit blocks", "use a recipe with a tokenizer")
        streams = self.layout.streams
        kept = [i for i in ids if i in self.unit_ids]
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
            for ids in rule.also:
                mask[slice(*ids)] = True
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
            mask[[*self.text_tokenizer.all_special_ids, *self._tag_names]] = False  # type: ignore[attr-defined]
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

    def check_begun(self, folder: Path) -> int:
        """Refuses a checkpoint to start from whose ids mean something else; returns how many ids it has.

        Raises:
            VocabularyMismatchError: another text tokenizer, or, where it has units or tags, other ones. This vocabulary may have more behind them.
        """
        saved = json.loads((folder / "vocabulary.json").read_text())["blocks"]
        mine = [asdict(block) for block in self.blocks]
        wanted = mine[: len(saved)]
        if saved != wanted:
            differing = next(a["name"] for a, b in itertools.zip_longest(saved, wanted, fillvalue=saved[-1]) if a != b)
            raise VocabularyMismatchError(
                f"got backbone checkpoint {folder}, whose block {differing} is another",
                "the text tokenizer and units of this recipe",
                "choose a checkpoint with the same ones, or one of text alone",
            )
        return sum(block["size"] for block in saved)


def _known_start(text_tokenizer: TextTokenizer, names: list[str]) -> int | None:
    """The first id of the units and tags in a text tokenizer that was extended by them; None where it was not.

    Raises:
        AlmError: one that has some of them, or has them in another order.
    """
    known = text_tokenizer.get_vocab()  # type: ignore[attr-defined]
    found = [name for name in names if name in known]
    if not found:
        return None
    start = known[found[0]]
    if [known.get(name) for name in names] != list(range(start, start + len(names))):
        missing = next((name for name in names if name not in known), "")
        what = f"with {found[0]!r} but without {missing!r}" if missing else "whose units and tags stand in another order"
        raise AlmError(f"got a text tokenizer {what}", f"{names[0]!r} to {names[-1]!r} one after another, or none of them", "use the text tokenizer of the same system")
    return int(start)


def _text_fingerprint(text_tokenizer: TextTokenizer) -> str:
    vocabulary = sorted(text_tokenizer.get_vocab().items(), key=lambda item: item[1])  # type: ignore[attr-defined]
    return hashlib.sha256(json.dumps(vocabulary).encode()).hexdigest()[:16]
