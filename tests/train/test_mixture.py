"""What the mixture makes of a recording that one task hears and another speaks."""

from __future__ import annotations

import torch

from alm.api.types import Features, Units
from alm.core.config import load_recipe
from alm.core.parts import Parts
from alm.train.data import Kept, LengthBatches
from alm.train.mixture import Mixture


def test_speech_is_units_where_it_is_spoken_and_features_where_it_is_heard(small_model, workspace):
    """Every clip is a source and a target here, so each is needed in both forms."""
    overrides = ["data.tasks=[{use: S2ST, audio: features}, {use: ASR AST S2ST, audio: features}, {use: ASR, audio: features}]"]
    recipe = load_recipe(str(workspace / "model.yaml"), overrides)
    mixture = Mixture(Parts(recipe, workspace), "train", len, lambda batches, total: batches)
    forms = {(entry.task, segment.learn, type(segment.content)) for entry in mixture.entries for segment in entry.sample.segments()}
    assert forms == {(0, False, Features), (0, True, Units), (1, False, Features), (1, True, str), (1, True, Units), (2, False, Features), (2, True, str)}


def test_a_task_that_no_utterance_serves_is_named(small_model, workspace, caplog):
    recipe = load_recipe(str(workspace / "model.yaml"), ["data.tasks=[{use: ASR}, {use: EMOTION}]"])
    mixture = Mixture(Parts(recipe, workspace), "train", len, lambda batches, total: batches)
    assert {entry.task for entry in mixture.entries} == {0}
    assert [record.getMessage() for record in caplog.records if "not trained" in record.getMessage()] == [
        "task EMOTION is not trained: no utterance of its corpora and languages has what it needs"
    ]


def test_each_epoch_draws_anew_and_a_resumed_one_as_it_was():
    """Lightning leaves the iterator of an epoch before its end, and sets the epoch on the sampler that a DataLoader shows it."""
    from torch.utils.data import DataLoader

    batches = LengthBatches(list(range(10, 60)), 200, shuffle=True)
    first, second = next(iter(batches)), next(iter(batches))
    assert first != second
    shown = DataLoader(list(range(50)), batch_sampler=batches).batch_sampler.sampler
    shown.set_epoch(1)
    assert next(iter(batches)) == second
    fixed = LengthBatches(list(range(10, 60)), 200, shuffle=False)
    assert list(fixed) == list(fixed)


def test_speech_may_be_heard_as_features_and_units_at_once(small_model, workspace, clip):
    """Kimi-Audio's input: the continuous frames, then the units of the same clip; a model trains on both and answers."""
    import alm
    from alm.train.run import train

    overrides = ["name=both", "data.tasks=[{use: ASR, audio: both}]", "train.steps=2", "train.options={}"]
    recipe = load_recipe(str(workspace / "model.yaml"), overrides)
    mixture = Mixture(Parts(recipe, workspace), "train", len, lambda batches, total: batches)
    for entry in mixture.entries:
        heard = [s.content for s in entry.sample.segments() if not s.learn]
        assert [type(content) for content in heard] == [Features, Units]
        assert abs(heard[0].num_frames / heard[0].frame_rate_hz - heard[1].duration_s) < 0.1
    pipeline = alm.load(str(train(str(workspace / "model.yaml"), overrides, quiet=True)))
    result = pipeline.run("ASR", clip, "en")
    assert [span.kind for span in result.prompt.spans if span.kind in ("features", "units")] == ["features", "units"]
    assert len(result.texts) == 1


def test_what_fits_in_memory_is_made_once():
    made = []

    def make(number):
        made.append(number)
        return torch.full((100,), float(number))

    kept = Kept(make, limit_bytes=3 * 400)
    for _ in range(2):
        assert [float(kept(number)[0]) for number in range(5)] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert made == [0, 1, 2, 3, 4, 3, 4], "the first three stay, the others are made again"
