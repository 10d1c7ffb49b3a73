"""Metrics of labels, captions and marks, against values reckoned by hand and by the reference implementation of CIDEr-D."""

from __future__ import annotations

import math

import pytest

from alm.api.types import Mark
from alm.components.metrics.labels import cider
from alm.components.metrics.marks import MarkMetric
from alm.components.metrics.text import text_metric


def test_accuracy_and_f1_of_labels():
    said, true = ["Happy", "sad", "sad", "angry"], ["happy", "sad", "happy", "sad"]
    assert text_metric("accuracy").score(said, true, "en") == 50.0
    assert text_metric("macro_f1").score(said, true, "en") == pytest.approx(100 * (2 / 3 + 2 / 4) / 2), "of the labels that are there"


def test_lists_are_sets_of_items():
    metric = text_metric("set_f1")
    assert metric.score(["time: 7 pm; city: Paris"], ["city: paris, time: 7 pm"], "en") == 100.0
    assert metric.score(["city: paris; time: noon"], ["city: paris"], "en") == pytest.approx(100 * 2 / 3)
    assert metric.score([""], [""], "en") == 100.0


def test_rouge_is_of_the_longest_common_subsequence():
    assert text_metric("rouge_l").score(["press one to go on"], ["press one now to go"], "en") == pytest.approx(80.0)


def test_cider_is_cider_d():
    """Against a plain reckoning of the paper's formula for unigrams to 4-grams of two captions."""
    references = ["a dog barks at a car", "rain falls on a roof"]
    assert cider(references, references) == pytest.approx(10.0)
    assert cider(["rain falls on a roof", "a dog barks at a car"], references) == pytest.approx(0.0), "`a` is in both, so it says nothing"
    said = ["a dog barks", "rain falls on a roof"]
    expected = 0.0
    for size in range(1, 5):
        wanted = [(["a", "dog", "barks", "at", "a", "car"][i : i + size]) for i in range(6 - size + 1)]
        own = [(["a", "dog", "barks"][i : i + size]) for i in range(3 - size + 1)]
        weights = {tuple(g): math.log(2) * (0 if tuple(g) == ("a",) else wanted.count(g)) for g in wanted}
        mine = {tuple(g): math.log(2) * (0 if tuple(g) == ("a",) else own.count(g)) for g in own}
        norms = math.sqrt(sum(v * v for v in weights.values())) * math.sqrt(sum(v * v for v in mine.values()))
        if norms:
            expected += math.exp(-9 / 72) * sum(min(v, weights[g]) * weights[g] for g, v in mine.items()) / norms / 4
    assert cider(said, references) == pytest.approx(10 * (expected + 1) / 2)


def test_marks_are_compared_in_time():
    true = (Mark("press", 0.10, 0.40), Mark("one", 0.50, 0.80))
    shifted = (Mark("Press", 0.15, 0.45), Mark("one", 0.50, 0.80))
    assert MarkMetric("mark_shift").score([shifted], [true], "en") == pytest.approx(25.0), "50 ms at two of four ends"
    assert MarkMetric("mark_f1").score([shifted], [true], "en") == pytest.approx(100 * 2 * 55 / 120)
    assert MarkMetric("mark_shift").score([(Mark("two", 0.1, 0.2),)], [true], "en") == math.inf
    assert MarkMetric("mark_f1").score([()], [()], "en") == 100.0
