"""How the K codes of a frame stand in a sequence: one after another, side by side, or side by side with delays. Data, not code.

Flattened is what AudioPaLM's joint vocabulary does with one codebook. Delays are MusicGen's pattern (arXiv 2306.05284): codebook k
stands `delays[k]` positions later, so that it can look at the earlier codebooks of its frame. Moshi (arXiv 2410.00037) delays all
but the first by one and predicts the codes of a position one after another by a small depth transformer.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alm.api.errors import AlmError, UnknownNameError

if TYPE_CHECKING:
    from torch import Tensor

LAYOUTS = ("flattened", "parallel", "delayed", "first-ahead")


@dataclass(frozen=True)
class CodebookLayout:
    """Attributes:
    delays: of each codebook, in positions; a position then holds a code of every codebook. () for flattened: K positions
        a frame, one code each.
    turns: ids of text and frames of speech that take turns where an answer's text is spoken: (13, 26) as GLM-4-Voice (arXiv 2412.02612),
        (3, 10) as LLaMA-Omni 2 (arXiv 2505.02625). () for one after the other.
    text_beside: such a text stands at the same positions as its speech, an id beside a unit from the first on, and is over sooner:
        Moshi's inner monologue, timed as Mini-Omni's (arXiv 2408.16725), which needs no alignment.
    """

    delays: tuple[int, ...] = ()
    turns: tuple[int, ...] = ()
    text_beside: bool = False

    @property
    def streams(self) -> int:
        """Codes at one position."""
        return len(self.delays) or 1

    @property
    def tail(self) -> int:
        """Positions behind the last frame of the first codebook, at which later ones still have codes."""
        return max(self.delays, default=0)

    def positions(self, frames: int, codebooks: int) -> int:
        """Positions that so many frames take."""
        return frames + self.tail if self.delays else frames * codebooks

    def interleave(self, codes: Tensor, empty: int) -> Tensor:
        """codes [K, F] -> rows [S, streams]; `empty` stands where a codebook has no code."""
        import torch

        books, frames = codes.shape
        if not self.delays:
            return codes.T.reshape(-1, 1)
        rows = codes.new_full((frames + self.tail, books), empty)
        for book, delay in enumerate(self.delays):
            rows[delay : delay + frames, book] = codes[book]
        return rows if frames else torch.empty(0, books, dtype=codes.dtype)

    def deinterleave(self, rows: Tensor, codebooks: int) -> Tensor:
        """The inverse: rows [S, streams] -> codes [K, F]; a last frame that is not whole is dropped."""
        import torch

        if not self.delays:
            return rows[: len(rows) // codebooks * codebooks, 0].reshape(-1, codebooks).T
        frames = max(0, len(rows) - self.tail)
        return torch.stack([rows[delay : delay + frames, book] for book, delay in enumerate(self.delays)])


def make_layout(kind: str, codebooks: int, delays: Many[int] = (), turns: Many[int] = (), text_beside: bool = False) -> CodebookLayout:
    """A layout by name, for so many codebooks; one codebook is always flattened.

    Args:
        kind: flattened, parallel (no delays), delayed (0, 1, 2, ...: MusicGen) or first-ahead (0, 1, 1, ...: Moshi).
        delays: of each codebook, in place of those of `delayed`.
        turns, text_beside: as CodebookLayout's.

    Raises:
        UnknownNameError: another kind.
        AlmError: delays that are not one a codebook, negative, or that do not let the first codebook come first; turns that are no two
            numbers above 0, or that go with codebooks side by side; text beside several codebooks, or beside and by turns.
    """
    if kind not in LAYOUTS:
        raise UnknownNameError(f"got layout {kind!r}", "a layout of codebooks", f"one of: {', '.join(LAYOUTS)}")
    if delays and kind != "delayed":
        raise AlmError(f"got delays for layout {kind!r}", "layout delayed", "write kind: delayed, or leave the delays out")
    if delays and (len(delays) != codebooks or min(delays) < 0 or delays[0] != 0):
        raise AlmError(f"got delays {list(delays)} for {codebooks} codebooks", "one a codebook, none below 0, the first one 0", "correct layout.delays")
    if turns and (len(turns) != 2 or min(turns) < 1):
        raise AlmError(f"got turns {list(turns)}", "ids of text and frames of speech, each 1 or more", "write for instance turns: [13, 26]")
    if turns and kind != "flattened" and codebooks > 1:
        raise AlmError(f"got turns for layout {kind!r}", "codes one after another", "write kind: flattened, or leave the turns out")
    if text_beside and (turns or codebooks > 1):
        raise AlmError(f"got text_beside with {'turns' if turns else f'{codebooks} codebooks'}", "one codebook, and no turns", "leave one of them out")
    if kind == "flattened" or codebooks < 2:
        return CodebookLayout((), tuple(turns), text_beside)
    known = {"parallel": [0] * codebooks, "delayed": list(delays) or list(range(codebooks)), "first-ahead": [0] + [1] * (codebooks - 1)}
    return CodebookLayout(tuple(known[kind]))
