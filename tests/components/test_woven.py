"""Text and speech word by word: each word once, in writing or in sound, its units those of its time."""

from __future__ import annotations

from pathlib import Path

import torch

from alm.api.testing import check_task
from alm.api.types import AudioFile, Mark, Units, Utterance
from alm.components.prompts.audiopalm import AudioPalmFormat
from alm.components.tasks.woven import WovenTask
from alm.core.parts import Parts
from alm.train.mixture import Mixture, part_of
from tests.conftest import write_recipe

WORDS = tuple(
    Mark(text, start, start + 0.3)
    for text, start in zip(["please", "enter", "your", "password", "followed", "by", "the", "pound", "key"], (round(0.1 + 0.4 * i, 2) for i in range(9)), strict=True)
)


def test_each_word_is_written_or_spoken():
    check_task(WovenTask())
    for name in ("a", "b", "c"):
        source = Utterance(name, AudioFile(Path("a.wav")), "please enter ...", "en", labels={"words": WORDS})
        segments = list(WovenTask().build(source).segments())
        assert all(segment.learn for segment in segments) and [isinstance(s.content, str) for s in segments] == [not i % 2 for i in range(len(segments))]
        position = 0
        for segment in segments:
            if isinstance(segment.content, str):
                assert segment.content.split() == [word.text for word in WORDS[position : position + len(segment.content.split())]]
                position += len(segment.content.split())
            else:
                start, stop = map(float, segment.part.split(":"))
                assert start == WORDS[position].start_s
                position += sum(start <= word.start_s < stop for word in WORDS)
        assert position == len(WORDS)
    without = list(WovenTask().build(Utterance("a", AudioFile(Path("a.wav")), "hello", "en")).segments())
    assert [segment.content for segment in without] == ["hello", AudioFile(Path("a.wav"))]


def test_a_stretch_of_units_is_that_of_its_time():
    units = Units(torch.arange(10)[None], 25.0, "f")
    assert part_of(units, "0.08:0.20").codes.tolist() == [[2, 3, 4]]
    merged = Units(torch.tensor([[7, 8, 9]]), 25.0, "f", torch.tensor([2, 3, 5]))
    assert part_of(merged, "0.08:0.40").codes.tolist() == [[8, 9]], "those that begin within it"


def test_cuts_with_alignments_become_interleaved_sequences(workspace, small_corpus, small_model, tmp_path):
    from lhotse import CutSet
    from lhotse.supervision import AlignmentItem

    cut = next(cut for cut in CutSet.from_file(small_corpus / "cuts_train.jsonl.gz") if cut.id == "en/agent-pass")
    cut.supervisions[0].alignment = {"word": [AlignmentItem(word.text, word.start_s, 0.3) for word in WORDS]}
    CutSet.from_cuts([cut]).to_file(tmp_path / "cuts_train.jsonl.gz")
    recipe = write_recipe(
        tmp_path,
        "woven",
        f"extends: {workspace}/model.yaml\nname: woven\nparts: {{encoder: null}}\ndata: {{corpora: [{{use: cuts, folder: 'dir:{tmp_path}'}}], tasks: [{{use: WOVEN}}]}}\n",
    )
    parts = Parts.of(recipe)
    (entry,) = Mixture(parts, "train", len, lambda batches, total: batches).entries
    from alm.core.assemble import assemble

    vocabulary = assemble(parts).vocabulary
    written = AudioPalmFormat().encode(entry.sample, vocabulary)
    kinds = [span.kind for span in written.spans if span.kind in ("text", "units")]
    assert kinds[:3] == ["text", "units", "text"] and bool(written.learn[written.spans[1].start :].all())
