"""CTC searches in torch, a batch at a time: the best path, and the best prefixes with a language model. See log-probabilities and words.

Prefix beam search (arXiv 1408.2873): of each prefix the probability of all its alignments so far is known, by whether they end in a blank. One
step works on all prefixes of all clips at once, [B, K] and [B, K, candidates]; clips are taken longest first, so those that have ended leave the
batch. A language model is asked when a word is over, once for each prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence as Many
from typing import NamedTuple

import torch
from torch import Tensor

from alm.api.cards import SearchCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.api.recognition import END_OF_TEXT, Hypothesis, Labels, LanguageModel
from alm.components.searches.cards import GREEDY_CARD, BeamOptions, beam_card

AT_ONCE = 16  # clips
HASH = 6364136223846793005  # of a prefix: its own x this + its next class, modulo 2^64 (Knuth's MMIX)
NO_PARENT = torch.iinfo(torch.int64).min
NEVER, UNKNOWN = float("-inf"), float("nan")


class CtcGreedy:
    """`ctc-greedy`: the best class of each frame, repeats merged and blanks dropped."""

    card: SearchCard = GREEDY_CARD

    def search(self, log_probs: Many[Tensor], labels: Labels, language_model: LanguageModel | None = None) -> list[list[Hypothesis]]:
        if language_model is not None:
            raise AlmError("got a language model for search 'ctc-greedy', which asks none", "search: {use: ctc-beam}", "choose it, or leave language_model out")
        return [[greedy(check(clip, labels), labels)] for clip in log_probs]


def greedy(log_probs: Tensor, labels: Labels) -> Hypothesis:
    """The reading of the best path; its acoustic score is that of the path."""
    best, classes = log_probs.max(1)
    merged, counts = torch.unique_consecutive(classes, return_counts=True)
    starts = (counts.cumsum(0) - counts)[merged > 0].tolist()
    found = merged[merged > 0].tolist()
    score = float(best.double().sum())
    return Hypothesis(labels.text(found), score, score, 0.0, tuple(found), tuple(starts))


def check(log_probs: Tensor, labels: Labels) -> Tensor:
    """
    Raises:
        AlmError: posteriors of other labels.
    """
    if log_probs.ndim != 2 or log_probs.shape[1] != len(labels.names) + 1:
        raise AlmError(
            f"got log-probabilities of shape {list(log_probs.shape)}", f"[F, {len(labels.names) + 1}]: the blank and {len(labels.names)} labels", "give those of its CTC head"
        )
    return log_probs.detach().float().cpu()


class CtcBeam:
    """`ctc-beam`: the best prefixes, by posteriors and language model."""

    def __init__(self, options: BeamOptions) -> None:
        if options.beam < 1 or not 1 <= options.readings <= options.beam or options.candidates < 1 or options.threshold <= 0 or not 0 < options.skip_blank <= 1:
            raise AlmError(f"got {options}", "beam, candidates and threshold above 0, readings from 1 to beam, skip_blank to 1", "correct the search's options")
        self.options, self.card = options, beam_card(options, None)  # type: ignore[arg-type]

    def search(self, log_probs: Many[Tensor], labels: Labels, language_model: LanguageModel | None = None) -> list[list[Hypothesis]]:
        clips = [check(clip, labels) for clip in log_probs]
        kept = [self._kept(clip) for clip in clips]
        order = sorted(range(len(clips)), key=lambda i: -len(kept[i]))
        found: list[list[Hypothesis]] = [[] for _ in clips]
        with torch.inference_mode():
            for start in range(0, len(order), AT_ONCE):
                group = order[start : start + AT_ONCE]
                batch = Beams([clips[i][kept[i]] for i in group], [kept[i] for i in group], labels, self.options, language_model)
                for index, readings in zip(group, batch.run(), strict=True):
                    found[index] = readings
        return found

    def _kept(self, clip: Tensor) -> Tensor:
        """Frames that are looked at: not those in which nothing is heard, but for the first of each run."""
        if self.options.skip_blank == 1:
            return torch.arange(len(clip))
        silent = clip[:, 0].exp() >= self.options.skip_blank
        silent[1:] &= silent[:-1].clone()
        silent[:1] = False
        return (~silent).nonzero()[:, 0]


class Ended(NamedTuple):
    """A prefix with the word that ends with it.

    Attributes:
        words: before that word, which is "" where the prefix has none.
        language, closed: ln P of the words without it, and with it.
    """

    words: tuple[str, ...]
    word: str
    language: float
    closed: float

    @property
    def all_words(self) -> tuple[str, ...]:
        return (*self.words, self.word) if self.word else self.words


class Tree:
    """The prefixes of a batch where a language model is asked, by number; 0 is the empty one. A word is spelt and asked for when it is first needed.

    Attributes:
        worth: what ending its present word adds to the score of a prefix, by its number; NaN while nobody has asked.
    """

    def __init__(self, labels: Labels, language_model: LanguageModel, options: BeamOptions) -> None:
        self.labels, self.language_model, self.options = labels, language_model, options
        self.classes = len(labels.parts_words)
        self.above, self.took = [-1], [0]  # of each prefix the one without its last class, and that class
        self.children: dict[int, int] = {}  # by number x classes + class
        self.ended: dict[int, Ended] = {}
        self.spelt: dict[tuple[int, ...], str] = {}
        self.known: dict[tuple[tuple[str, ...], str], float] = {}  # what an n-gram has said
        self.worth = torch.full((4096,), UNKNOWN)

    def grown(self, numbers: Tensor, added: Tensor) -> Tensor:
        """The numbers of prefixes that take a class each, [N]."""
        keys = (numbers * self.classes + added).tolist()
        children = self.children
        for key in keys:
            if key not in children:
                children[key] = len(self.above)
                self.above.append(key // self.classes)
                self.took.append(key % self.classes)
        if len(self.above) > len(self.worth):
            self.worth = torch.cat([self.worth, torch.full_like(self.worth, UNKNOWN)])
        return torch.tensor([children[key] for key in keys], dtype=torch.int64)

    def close(self, numbers: Tensor) -> Tensor:
        """What ending their present word adds to the score of prefixes, [N]."""
        values = self.worth[numbers]
        unknown = values.isnan()
        if not bool(unknown.any()):
            return values
        asked = []
        for number in numbers[unknown].unique().tolist():
            words, word, language = self._word(number)
            if word:
                asked.append((number, words, word, language))
            else:
                self.ended[number] = Ended(words, "", language, language)
                self.worth[number] = 0.0
        found = self._scored([words for _, words, _, _ in asked], [word for _, _, word, _ in asked]) if asked else []
        for (number, words, word, language), value in zip(asked, found, strict=True):
            self.ended[number] = Ended(words, word, language, language + value)
        self.worth[[number for number, _, _, _ in asked]] = self.options.weight * torch.tensor(found) + self.options.word_bonus
        return self.worth[numbers]

    def _scored(self, histories: list[tuple[str, ...]], words: list[str]) -> list[float]:
        """ln P of words; an n-gram is asked once for what it sees of a history."""
        order = self.language_model.card.order
        if not order:
            return self.language_model.score(histories, words)
        keys = [(history[len(history) - order + 1 :] if len(history) >= order else history, word) for history, word in zip(histories, words, strict=True)]
        known = self.known
        if new := [place for place, key in enumerate(keys) if key not in known]:
            known.update(zip([keys[i] for i in new], self.language_model.score([histories[i] for i in new], [words[i] for i in new]), strict=True))
        return [known[key] for key in keys]

    def _word(self, number: int) -> tuple[tuple[str, ...], str, float]:
        """The words before a prefix's last one, that one, and ln P of those before."""
        classes, parts_words = [], self.labels.parts_words
        while number:
            taken = self.took[number]
            classes.append(taken)
            number = self.above[number]
            if parts_words[taken]:
                break
        if number and number not in self.ended:
            self.close(torch.tensor([number]))
        before = self.ended[number] if number else Ended((), "", 0.0, 0.0)
        key = tuple(reversed(classes))
        word = self.spelt.get(key)
        if word is None:
            word = self.spelt[key] = self.labels.text(key)
        return before.all_words, word, before.closed


class Beams:
    """One batch of clips, longest first.

    Args:
        clips: [F, C] each, the frames that are looked at.
        frames: their numbers among all.
    """

    def __init__(self, clips: list[Tensor], frames: list[Tensor], labels: Labels, options: BeamOptions, language_model: LanguageModel | None) -> None:
        self.labels, self.options, self.frames = labels, options, frames
        self.log_probs = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)  # [B, F, C]
        self.active = [sum(len(clip) > frame for clip in clips) for frame in range(self.log_probs.shape[1])]
        rows, beam = len(clips), options.beam
        self.blank_end = torch.full((rows, beam), NEVER)  # ln P of alignments that end in a blank
        self.blank_end[:, 0] = 0.0
        self.label_end = torch.full((rows, beam), NEVER)  # and of those that end in the last label
        self.language = torch.zeros(rows, beam)  # what the language model and the words add
        self.last = torch.zeros(rows, beam, dtype=torch.int64)
        self.nowhere = torch.arange(-beam, 0)  # hashes of what is no prefix
        self.prefix = self.nowhere.expand(rows, -1).clone()
        self.prefix[:, 0] = 1
        self.parent = torch.full((rows, beam), NO_PARENT)
        self.steps: list[tuple[Tensor, Tensor]] = []  # of each frame: which prefix each came of, and the class that it took; 0 for none
        self.parts_words = torch.tensor(labels.parts_words)
        self.tree = Tree(labels, language_model, options) if language_model is not None else None
        self.nodes = torch.zeros(rows, beam, dtype=torch.int64)  # numbers in the tree

    def run(self) -> list[list[Hypothesis]]:
        best, classes = self.log_probs[..., 1:].topk(min(self.options.candidates, self.log_probs.shape[2] - 1), -1)  # [B, F, A]
        for frame, rows in enumerate(self.active):
            self._step(self.log_probs[:rows, frame], best[:rows, frame], classes[:rows, frame] + 1, rows)
        return self._readings()

    def _step(self, log_probs: Tensor, best: Tensor, added: Tensor, rows: int) -> None:
        """One frame: [rows, C], and its best classes [rows, A]."""
        blank_end, label_end, last, language = self.blank_end[:rows], self.label_end[:rows], self.last[:rows], self.language[:rows]
        prefix, parent = self.prefix[:rows], self.parent[:rows]
        total = torch.logaddexp(blank_end, label_end)
        # a prefix stays: by a blank, or by its last label once more
        heard_last = log_probs.gather(1, last)
        stay_blank = total + log_probs[:, :1]
        stay_label = label_end + heard_last
        # or it takes a class; after the same one, only behind a blank
        repeats = added[:, None] == last[:, :, None]  # [rows, K, A]
        longer = torch.where(repeats, blank_end[..., None], total[..., None]) + best[:, None]
        # a prefix that is there already gets what leads to it
        comes_of = parent[:, :, None] == prefix[:, None]  # [rows, K, K]: of the first its parent
        known, source = comes_of.max(-1)
        led = torch.where(last.gather(1, source) == last, blank_end.gather(1, source), total.gather(1, source)) + heard_last
        stay_label = torch.where(known, torch.logaddexp(stay_label, led), stay_label)
        already = (comes_of.float().transpose(1, 2) @ repeats.float()) > 0  # [rows, K, A]
        longer = longer.masked_fill(already, NEVER)
        stay = torch.logaddexp(stay_blank, stay_label) + language
        added_language, ranked_longer = None, longer
        if self.tree is not None:
            ranked_longer = longer + language[..., None]
            added_language = self._ask(self.tree, ranked_longer, stay, added)
            ranked_longer = ranked_longer + added_language
        ranked = torch.cat([stay, ranked_longer.flatten(1)], 1)
        scores, chosen = ranked.topk(stay.shape[1], -1)
        gone = scores < scores[:, :1] - self.options.threshold  # those never reached too
        grows = chosen >= stay.shape[1]
        pair = (chosen - stay.shape[1]).clamp(min=0)
        origin = torch.where(grows, pair // added.shape[1], chosen)
        new = torch.where(grows & ~gone, added.gather(1, pair % added.shape[1]), 0)
        reached = longer.flatten(1).gather(1, pair)
        self.blank_end[:rows] = torch.where(grows, NEVER, stay_blank.gather(1, origin)).masked_fill(gone, NEVER)
        self.label_end[:rows] = torch.where(grows, reached, stay_label.gather(1, origin)).masked_fill(gone, NEVER)
        from_prefix = prefix.gather(1, origin)
        if self.tree is not None and added_language is not None:
            self.language[:rows] = language.gather(1, origin) + torch.where(grows, added_language.flatten(1).gather(1, pair), 0.0)
            nodes, taken = self.nodes[:rows].gather(1, origin), new > 0
            nodes[taken] = self.tree.grown(nodes[taken], new[taken])
            self.nodes[:rows] = nodes
        self.parent[:rows] = torch.where(grows, from_prefix, parent.gather(1, origin)).masked_fill(gone, NO_PARENT)
        self.prefix[:rows] = torch.where(gone, self.nowhere, torch.where(grows, from_prefix * HASH + new, from_prefix))
        self.last[:rows] = torch.where(grows, new, last.gather(1, origin))
        self.steps.append((origin, new))

    def _ask(self, tree: Tree, longer: Tensor, stay: Tensor, added: Tensor) -> Tensor:
        """What the language model adds where a class ends a word [rows, K, A]. It is not asked of what cannot be among the best, whatever it says:
        a word costs, or brings the bonus at most.

        Args:
            longer: with what it has said so far.
            stay: the same of prefixes that take no class [rows, K].
        """
        parts = self.parts_words[added]  # [rows, A]
        whole = longer.masked_fill(parts[:, None], NEVER)  # of those that end no word
        sure = torch.cat([stay, whole.flatten(1)], 1).topk(stay.shape[1], -1).values  # at least so good are the best
        least = torch.maximum(sure[:, -1], sure[:, 0] - self.options.threshold) - max(0.0, self.options.word_bonus)
        wanted = longer.masked_fill(~parts[:, None], NEVER).amax(-1) >= least[:, None]  # [rows, K]
        added_language = torch.zeros(wanted.shape)
        added_language[wanted] = tree.close(self.nodes[: len(wanted)][wanted])
        return added_language[..., None] * parts[:, None]

    def _readings(self) -> list[list[Hypothesis]]:
        acoustic = torch.logaddexp(self.blank_end, self.label_end)
        traced = self._traced()
        found = []
        for row, scores in enumerate(acoustic.tolist()):
            alive = [beam for beam, score in enumerate(scores) if score > NEVER]
            language, added = self._ended(self.tree, self.nodes[row][alive]) if self.tree is not None else ([0.0] * len(alive), [0.0] * len(alive))
            readings = []
            for beam, spoken, more in zip(alive, language, added, strict=True):
                classes, frames = traced(row, beam)
                total = scores[beam] + (float(self.language[row, beam]) + more)
                readings.append(Hypothesis(self.labels.text(classes), total, scores[beam], spoken, classes, frames))
            distinct: dict[str, Hypothesis] = {}  # prefixes may spell the same: the best of them
            for reading in sorted(readings, key=lambda reading: -reading.score):
                distinct.setdefault(reading.text, reading)
            found.append(list(distinct.values())[: self.options.readings])
        return found

    def _ended(self, tree: Tree, numbers: Tensor) -> tuple[list[float], list[float]]:
        """ln P of the whole text of each prefix, and what its last word and its end add to the score."""
        last = tree.close(numbers).tolist()
        nodes = [tree.ended[number] for number in numbers.tolist()]
        ends = tree.language_model.score([node.all_words for node in nodes], [END_OF_TEXT] * len(nodes))
        whole = [node.closed + end for node, end in zip(nodes, ends, strict=True)]
        return whole, [more + self.options.weight * end for more, end in zip(last, ends, strict=True)]

    def _traced(self) -> Callable[[int, int], tuple[tuple[int, ...], tuple[int, ...]]]:
        """(row, beam) -> classes and the frames at which they were taken."""
        rows = len(self.nodes)
        at = torch.arange(self.options.beam).expand(rows, -1).clone()
        columns = torch.zeros(len(self.steps), rows, self.options.beam, dtype=torch.int64)
        for frame, (origin, new) in reversed(list(enumerate(self.steps))):
            count = len(origin)
            columns[frame, :count] = new.gather(1, at[:count])
            at[:count] = origin.gather(1, at[:count])

        def traced(row: int, beam: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
            column = columns[:, row, beam]
            where = column.nonzero()[:, 0]
            return tuple(column[where].tolist()), tuple(self.frames[row][where].tolist())

        return traced


def load_greedy(options: None, context: LoadContext) -> CtcGreedy:
    return CtcGreedy()


def load_beam(options: BeamOptions, context: LoadContext) -> CtcBeam:
    return CtcBeam(options)
