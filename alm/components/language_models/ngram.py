"""N-grams of words with back-off, in ARPA format. See words."""

from __future__ import annotations

import gzip
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence as Many
from dataclasses import dataclass
from pathlib import Path

from alm.api.cards import LanguageModelCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.api.recognition import UNKNOWN_WORD
from alm.components.language_models.cards import NgramOptions, arpa_file

BEGIN, END, UNKNOWN = "<s>", "</s>", UNKNOWN_WORD
LN_10 = math.log(10)
FLOOR = -99.0  # log10 of what cannot be, as ARPA files write it
COUNT = re.compile(r"ngram\s+(\d+)\s*=\s*(\d+)")

Gram = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Ngram:
    """`ngram`: a language model of words. Immutable once loaded.

    Attributes:
        log_probs: ln P of the last word of each n-gram, given those before it.
        back_offs: ln of what is left to shorter ones, of those that something may follow.
        path: the ARPA file that it was read from, for searches that compile one.
    """

    card: LanguageModelCard
    log_probs: dict[Gram, float]
    back_offs: dict[Gram, float]
    path: Path | None = None

    def score(self, histories: Many[Gram], words: Many[str]) -> list[float]:
        return [self.log_prob(history, word) for history, word in zip(histories, words, strict=True)]

    def log_prob(self, history: Gram, word: str) -> float:
        """ln P(word | history); a word that the n-gram has not is <unk>."""
        order = self.card.order
        known = tuple(w if (w,) in self.log_probs else UNKNOWN for w in history[max(0, len(history) - order + 1) :])
        context = (BEGIN, *known)[-(order - 1) :] if order > 1 else ()
        word = word or END
        if (word,) not in self.log_probs:
            word = UNKNOWN
        left = 0.0
        while True:
            found = self.log_probs.get((*context, word))
            if found is not None:
                return left + found
            if not context:
                return left + FLOOR * LN_10
            left += self.back_offs.get(context, 0.0)
            context = context[1:]

    @property
    def words(self) -> list[str]:
        """What it knows, without its marks."""
        return sorted(gram[0] for gram in self.log_probs if len(gram) == 1 and gram[0] not in (BEGIN, END, UNKNOWN))


def load_ngram(options: NgramOptions, context: LoadContext) -> Ngram:
    """
    Raises:
        AlmError: no weights, or a file that is no ARPA file.
    """
    if not options.weights:
        raise AlmError("got language model 'ngram' without weights", "a folder with an ARPA file", "make one: alm adapt TEXTFILE, and set `weights: dir:FOLDER`")
    return read_arpa(arpa_file(context.folders(options.weights)[0]))


def read_arpa(path: Path) -> Ngram:
    """Reads an ARPA file, as SRILM, KenLM and alm write them.

    Raises:
        AlmError: another file, with the line that does not fit.
    """
    log_probs: dict[Gram, float] = {}
    back_offs: dict[Gram, float] = {}
    order, highest, wanted = 0, 0, dict[int, int]()
    found: Counter[int] = Counter()
    for number, line in enumerate(_lines(path), start=1):
        if count := COUNT.fullmatch(line):
            wanted[int(count[1])] = int(count[2])
            highest = max(highest, int(count[1]))
        elif line.startswith("\\") and line.endswith("-grams:"):
            order = int(line[1:-7])
        elif order and line and not line.startswith("\\"):
            fields = line.split()
            gram = tuple(fields[1 : 1 + order])
            try:
                value, left = float(fields[0]), float(fields[1 + order]) if len(fields) > 1 + order else 0.0
            except ValueError:
                gram = ()
            if len(gram) != order:
                raise AlmError(f"got line {number} of {path}: {line[:60]!r}", f"a logarithm, {order} words and perhaps a back-off", "make the file again")
            found[order] += 1
            log_probs[gram] = value * LN_10
            if left:
                back_offs[gram] = left * LN_10
    if not highest or any(found[n] != wanted[n] for n in wanted):
        raise AlmError(f"got {path}, which holds {dict(found)} n-grams and announces {wanted}", "a whole ARPA file", "make the file again")
    log_probs.setdefault((UNKNOWN,), FLOOR * LN_10)
    return Ngram(LanguageModelCard(order=highest, trainable=("ngram",)), log_probs, back_offs, path)


def _lines(path: Path) -> Iterator[str]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            for line in file:
                yield line.strip()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise AlmError(f"got {path}, which cannot be read ({error})", "an ARPA file", "make it again") from error


def estimate(texts: Iterable[str], order: int) -> Ngram:
    """An n-gram of texts: interpolated, with modified Kneser-Ney discounts (Chen and Goodman 1999). Words that were seen once at all also
    stand for those that were never seen: their share is that of <unk> under the lowest order.

    Args:
        texts: normalized, words between spaces.

    Raises:
        AlmError: texts without a word.
    """
    sentences = [(BEGIN, *text.split(), END) for text in texts if text.split()]
    if not sentences:
        raise AlmError("got texts without a word", "one text a line", "check the file")
    counts = _counts(sentences, order)
    log_probs: dict[Gram, float] = {(BEGIN,): FLOOR * LN_10}
    back_offs: dict[Gram, float] = {}
    vocabulary = {gram[0] for gram in counts[0]}
    uniform = 1.0 / (len(vocabulary) + 1)
    probs: dict[Gram, float] = {}
    for n, grams in enumerate(counts, start=1):
        discounts = _discounts(grams)
        totals: dict[Gram, float] = defaultdict(float)
        taken: dict[Gram, float] = defaultdict(float)
        for gram, count in grams.items():
            totals[gram[:-1]] += count
            taken[gram[:-1]] += discounts[min(count, 3) - 1]
        left = {context: taken[context] / total for context, total in totals.items()}
        for gram, count in grams.items():
            lower = probs[gram[1:]] if n > 1 else uniform
            probs[gram] = (count - discounts[min(count, 3) - 1]) / totals[gram[:-1]] + left[gram[:-1]] * lower
        if n == 1:
            probs[(UNKNOWN,)] = left[()] * uniform
        back_offs |= {context: math.log(share) for context, share in left.items() if context and share > 0}
    log_probs |= {gram: math.log(prob) for gram, prob in probs.items()}
    return Ngram(LanguageModelCard(order=order, trainable=("ngram",)), log_probs, back_offs)


def _counts(sentences: list[Gram], order: int) -> list[dict[Gram, int]]:
    """Of each order: how often n-grams were seen, for the highest and for those that begin a text; for others after how many words."""
    seen = [Counter(tuple(s[i : i + n]) for s in sentences for i in range(len(s) - n + 1)) for n in range(1, order + 1)]
    counts: list[dict[Gram, int]] = []
    for n in range(1, order + 1):
        if n == order:
            chosen: dict[Gram, int] = dict(seen[n - 1])
        else:
            behind = Counter(gram[1:] for gram in seen[n])
            chosen = {gram: behind[gram] or count for gram, count in seen[n - 1].items()}
            chosen |= {gram: count for gram, count in seen[n - 1].items() if gram[0] == BEGIN}
        chosen.pop((BEGIN,), None)
        counts.append(chosen)
    return counts


def _discounts(grams: dict[Gram, int]) -> tuple[float, float, float]:
    """Of n-grams that were seen once, twice, and more often."""
    n1, n2, n3, n4 = (sum(count == c for count in grams.values()) for c in (1, 2, 3, 4))
    if not n1 or not n2:
        return (0.5, 0.5, 0.5)  # too few to tell
    y = n1 / (n1 + 2 * n2)
    once = 1 - 2 * y * n2 / n1
    twice = 2 - 3 * y * n3 / n2 if n3 else once
    more = 3 - 4 * y * n4 / n3 if n3 and n4 else twice
    return tuple(min(max(d, 0.05), c - 0.05) for d, c in zip((once, twice, more), (1, 2, 3), strict=True))  # type: ignore[return-value]


def write_arpa(model: Ngram, path: Path) -> None:
    """Writes an ARPA file, packed where its name ends in .gz."""
    grams: dict[int, list[Gram]] = defaultdict(list)
    for gram in sorted(model.log_probs):
        grams[len(gram)].append(gram)
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = gzip.GzipFile(path, "wb", mtime=0) if path.suffix == ".gz" else path.open("wb")
    with opened as file:
        lines = ["\\data\\", *(f"ngram {n}={len(grams[n])}" for n in sorted(grams))]
        for n in sorted(grams):
            lines += ["", f"\\{n}-grams:"]
            for gram in grams[n]:
                left = f"\t{model.back_offs[gram] / LN_10:.6f}" if gram in model.back_offs else ""
                lines.append(f"{max(model.log_probs[gram] / LN_10, FLOOR):.6f}\t{' '.join(gram)}{left}")
        file.write("\n".join([*lines, "", "\\end\\", ""]).encode())
