"""Forced alignment: places of words by hand-made posteriors, on a real clip, and through the command."""

from __future__ import annotations

import pytest
import torch

from alm.api.errors import AlmError
from alm.api.manifests import utterances_from_cuts
from alm.api.types import Audio, Mark
from alm.cli import main
from alm.core.align import LEAD_S, TAIL_S, Aligner, stretched, word_marks


def log_probs(*heard: int, classes: int = 4) -> torch.Tensor:
    """Frames that are nearly sure of one class each; 0 is the blank."""
    return torch.full((len(heard), classes), 0.01).scatter(1, torch.tensor(heard)[:, None], 0.97).log()


def test_words_stand_where_their_pieces_are_heard():
    """At 10 frames a second: `one` is pieces 1 2, `two` is piece 3; then a pause; then `one` again."""
    frames = log_probs(0, 0, 1, 1, 2, 0, 3, *[0] * 13, 1, 2, 0, 0, 0, 0)
    marks = word_marks(frames, ["one", "two", "one"], [[1, 2], [3], [1, 2]], 10.0)
    assert marks == (
        Mark("one", round(0.2 - LEAD_S, 2), round(0.6 - LEAD_S, 2)),  # up to the next word
        Mark("two", round(0.6 - LEAD_S, 2), round(0.7 + TAIL_S, 2)),  # into the pause
        Mark("one", round(2.0 - LEAD_S, 2), round(2.2 + TAIL_S, 2)),
    )


def test_what_cannot_be_placed_has_no_marks():
    assert word_marks(log_probs(1, 2), ["one", "two"], [[1, 2], [3]], 10.0) == ()  # fewer frames than pieces
    assert word_marks(log_probs(1, 0), ["one"], [[1, 1]], 10.0) == ()  # a piece twice needs a blank between
    assert word_marks(log_probs(1, 1), ["?"], [[]], 10.0) == ()
    assert word_marks(log_probs(0, 0), [], [], 10.0) == () and stretched([], 3.2) == ()  # nothing was said
    assert [mark.text for mark in word_marks(log_probs(0, 1, 0), ["?", "one"], [[], [1]], 10.0)] == ["one"]


@pytest.fixture(scope="module")
def aligner() -> Aligner:
    return Aligner("prompts")


def test_a_clip_behind_silence_has_its_words_so_much_later(aligner, clip):
    sound = clip.mono().resample(16_000)
    text = "Please enter your password followed by the pound key."
    late = Audio(torch.cat([torch.zeros(1, 24_000), sound.samples], 1), 16_000)
    now, later = aligner.align([sound, late], [text, text], ["en", "en"])
    assert [mark.text for mark in now] == [mark.text for mark in later] == ["please", "enter", "your", "password", "followed", "by", "the", "pound", "key"]
    assert all(a.start_s < a.stop_s <= b.start_s for a, b in zip(now, now[1:], strict=False)) and now[-1].stop_s <= sound.duration_s + 0.02
    shifts = torch.tensor([b.start_s - a.start_s for a, b in zip(now, later, strict=True)])
    assert float((shifts - 1.5).abs().max()) < 0.1


def test_the_command_writes_what_srwt_learns_from(small_corpus, tmp_path, capsys):
    target = tmp_path / "cuts_train.jsonl.gz"
    with pytest.raises(SystemExit, match="0"):
        main(["align", str(small_corpus / "cuts_train.jsonl.gz"), str(target)])
    found = {u.id: u for u in utterances_from_cuts(target)}
    assert f"{len(found)} clips, {len(found)} of them with the times" in capsys.readouterr().out
    words = found["en/agent-pass"].labels["words"]
    assert isinstance(words, tuple) and [mark.text for mark in words][:2] == ["please", "enter"]
    with pytest.raises(SystemExit, match="2"):
        main(["align", str(small_corpus / "cuts_train.jsonl.gz"), str(tmp_path / "lines.jsonl")])
    assert "ends in .jsonl.gz" in capsys.readouterr().err


def test_a_model_without_a_ctc_head_is_refused(small_model):
    with pytest.raises(AlmError, match="hears by no CTC head"):
        Aligner(str(small_model))
