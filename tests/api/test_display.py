"""Pictures show what they are given."""

from __future__ import annotations

import torch

from alm.api import display
from alm.api.types import Audio, Mark


def texts_of(figure):
    return {text.get_text() for text in figure.axes[0].texts}


def test_posteriors_have_a_row_for_each_class_that_is_heard():
    log_probs = torch.full((10, 4), -20.0)
    log_probs[:4, 0], log_probs[4:7, 3], log_probs[7:, 1] = 0.0, 0.0, 0.0
    axes = display.posteriors_figure(log_probs, ("a", "b", "Ġc"), 50.0).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["(blank)", " c", "a"]
    assert axes.get_xlim() == (0, 0.2)


def test_readings_share_the_words_that_they_have_in_common():
    readings = [([("press", 0.2), ("one", 0.61)], 0.7), ([("press", 0.2), ("won", 0.6)], 0.3)]
    figure = display.lattice_figure(readings, 1.0)
    words = [text.get_text() for text in figure.axes[0].texts if text.get_text()]
    assert sorted(words) == sorted(["press", "one", "won", "●", "●"])
    darkness = sorted(float(text.arrow_patch.get_edgecolor()[0]) for text in figure.axes[0].texts if not text.get_text())
    assert len(darkness) == 5 and darkness[0] == 0.0 < darkness[-1], "what all share is black"


def test_words_stand_over_their_times():
    figure = display.alignment_figure(Audio(torch.randn(1, 16_000), 16_000), (Mark("press", 0.1, 0.4), Mark("one", 0.5, 0.9)))
    assert texts_of(figure) == {"press", "one"}


def test_layers_are_drawn_beside_chance():
    axes = display.layers_figure({"language": [50.0, 90.0], "speaker": [30.0, 20.0]}, {"language": 20.0, "speaker": 10.0}).axes[0]
    assert len(axes.lines) == 4 and axes.get_legend().get_texts()[0].get_text() == "language"
