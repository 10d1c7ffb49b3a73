"""Metrics of labels, short answers and captions, after alm.api.text.normalize_text without accents. See texts alone."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence as Many

from alm.api.text import normalize_text

ITEM_BREAK = re.compile(r"\s*[;,]\s*")
CIDER_GRAMS, CIDER_SIGMA = 4, 6.0


def accuracy(hypotheses: Many[str], references: Many[str]) -> float:
    """Share of answers that are the reference, in percent (exact match)."""
    return 100 * sum(map(str.__eq__, hypotheses, references)) / len(references)


def choice_accuracy(hypotheses: Many[str], references: Many[str]) -> float:
    """Share of answers that choose what the reference chooses ("B. a dog", or "B"), in percent: by its letter, or in its words."""
    return 100 * sum(map(_same_choice, hypotheses, references)) / len(references)


CHOICE = re.compile(r"[A-J](\. |$)")
LETTER = (re.compile(r"^\W*([a-j])\s*(?:[.):,]|$)", re.IGNORECASE), re.compile(r"\b(?:answer|option|choice)\b(?: is)?:?\W*([a-j])\b", re.IGNORECASE))


def _same_choice(said: str, wanted: str) -> bool:
    letter, _, words = wanted.partition(". ") if CHOICE.match(wanted) else ("", "", wanted)
    found = next((hit for hit in (pattern.search(said.strip()) for pattern in LETTER) if hit), None)
    if words and normalize_text(said, "en") == normalize_text(words, "en"):
        return True
    return found is not None and found[1].lower() == letter.lower()


def macro_f1(hypotheses: Many[str], references: Many[str]) -> float:
    """F1 of each label that the references have, the mean over these, in percent."""
    scores = [_f1([(h == label, r == label) for h, r in zip(hypotheses, references, strict=True)]) for label in sorted(set(references))]
    return 100 * sum(scores) / len(scores)


def _f1(pairs: Many[tuple[bool, bool]]) -> float:
    """Of (said, true)."""
    both, either = sum(said and true for said, true in pairs), sum(said + true for said, true in pairs)
    return 2 * both / either if either else 1.0


def set_f1(hypotheses: Many[str], references: Many[str]) -> float:
    """F1 over the items of lists that commas or semicolons part, all clips together, in percent; their order does not matter."""
    both = wanted = said = 0
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        lists = [Counter(item for item in ITEM_BREAK.split(text.strip()) if item) for text in (hypothesis, reference)]
        both += sum((lists[0] & lists[1]).values())
        said += sum(lists[0].values())
        wanted += sum(lists[1].values())
    return 100 * 2 * both / (said + wanted) if said + wanted else 100.0


def rouge_l(hypotheses: Many[str], references: Many[str]) -> float:
    """F-measure of the longest common subsequence of words, the mean over texts, in percent (Lin, 2004)."""
    from torchmetrics.functional.text import rouge_score

    return 100 * float(rouge_score(list(hypotheses), list(references), rouge_keys="rougeL")["rougeL_fmeasure"])


def cider(hypotheses: Many[str], references: Many[str]) -> float:
    """CIDEr-D (arXiv 1411.5726): cosine of tf-idf vectors of 1- to 4-grams with the reference, clipped, times a penalty of the
    difference in length; times 10. Counts of documents are those of the references scored."""
    grams = [[_grams(text) for text in texts] for texts in (hypotheses, references)]
    seen = Counter(gram for of in grams[1] for gram in set(of))
    documents = math.log(max(len(references), 1))
    total = 0.0
    for number, (said, wanted) in enumerate(zip(*grams, strict=True)):
        delta = len(hypotheses[number].split()) - len(references[number].split())
        penalty = math.exp(-(delta**2) / (2 * CIDER_SIGMA**2))
        for size in range(1, CIDER_GRAMS + 1):
            a, b = ({gram: count * (documents - math.log(max(1, seen[gram]))) for gram, count in of.items() if len(gram) == size} for of in (said, wanted))
            norms = math.sqrt(sum(x * x for x in a.values())) * math.sqrt(sum(x * x for x in b.values()))
            if norms:
                total += penalty * sum(min(a[gram], b[gram]) * b[gram] for gram in a.keys() & b.keys()) / norms
    return 10 * total / (CIDER_GRAMS * len(references))


def _grams(text: str) -> Counter[tuple[str, ...]]:
    words = text.split()
    return Counter(tuple(words[i : i + size]) for size in range(1, CIDER_GRAMS + 1) for i in range(len(words) - size + 1))
