"""Perplexity: of ids that are all as likely it is their number; what a model was trained on is likelier than what it was not."""

from __future__ import annotations

import json

import pytest
import torch

import alm
from alm.api.errors import AlmError
from alm.cli import main
from alm.core.likelihood import perplexity


def test_it_is_the_number_of_choices_where_all_are_alike(small_model):
    pipeline = alm.load(str(small_model))
    with torch.no_grad():
        pipeline.model.backbone.model.get_input_embeddings().weight.zero_()
    assert perplexity(pipeline, ["thank you", "press one", "", "please hold on for a moment"], "en") == (pytest.approx(pipeline.model.vocabulary.blocks[0].size), 3)


def test_each_text_stands_by_itself(small_model, tmp_path, capsys):
    pipeline = alm.load(str(small_model))
    texts = ["thank you", "please enter your password followed by the pound key", "xyzzy qwrt"]
    one_by_one = [perplexity(pipeline, [text], "en")[0] for text in texts]
    assert one_by_one[1] < one_by_one[2], "what was trained on is likelier"
    assert min(one_by_one) < perplexity(pipeline, texts, "en")[0] < max(one_by_one)
    (tmp_path / "texts.txt").write_text(texts[0] + "\n")
    with pytest.raises(SystemExit, match="0"):
        main(["perplexity", str(small_model), str(tmp_path / "texts.txt"), "--json"])
    assert json.loads(capsys.readouterr().out) == {"perplexity": pytest.approx(one_by_one[0]), "texts": 1}
    with pytest.raises(AlmError, match="with a word"):
        perplexity(pipeline, ["", "..."], "en")
