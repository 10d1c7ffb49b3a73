"""How sure a difference in word errors is."""

from __future__ import annotations

import pytest

from alm.api.errors import AlmError
from alm.core.bootstrap import wer_difference, word_errors

REFERENCES = ["one two three", "four five", "six", "seven eight nine ten"] * 25


def test_a_system_differs_from_itself_by_nothing():
    errors = word_errors(REFERENCES, [text.replace("two", "too") for text in REFERENCES])
    assert errors.wer == pytest.approx(10.0)
    assert tuple(wer_difference(errors, errors)) == (0.0, 0.0, 0.0)


def test_a_difference_lies_within_its_interval_and_a_clear_one_is_sure():
    worse = word_errors(REFERENCES, [text.replace("two", "too").replace("ten", "then") for text in REFERENCES])
    better = word_errors(REFERENCES, [text.replace("two", "too") for text in REFERENCES])
    found = wer_difference(worse, better)
    assert found.value == pytest.approx(-10.0) and found.low < found.value < found.high < 0
    again = wer_difference(worse, better)
    assert found == again, "the same clips are drawn each time"
    assert str(found).startswith("-10.00 [-")
    few = wer_difference(*(errors._replace(wrong=errors.wrong[:4], words=errors.words[:4]) for errors in (worse, better)))
    assert few.high - few.low > found.high - found.low, "four clips say less than a hundred"


def test_other_clips_are_refused():
    with pytest.raises(AlmError, match="the same clips"):
        wer_difference(word_errors(["one two"], ["one"]), word_errors(["one"], ["one"]))
    with pytest.raises(AlmError, match="no reference with a word"):
        word_errors([""], ["one"])
