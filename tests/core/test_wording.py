"""A recipe's front end: tasks that read aloud are given what it writes, in training and in use; all others the text."""

from __future__ import annotations

from alm.core.parts import Parts
from alm.core.pipeline import Pipeline
from alm.core.wording import Wording
from alm.train.mixture import Mixture
from alm.train.run import train
from tests.conftest import write_recipe


def given(sample) -> str:
    return next(s.content for s in sample.segments() if not s.learn and isinstance(s.content, str))


def test_what_is_read_aloud_is_analysed(workspace, small_model, tmp_path):
    recipe = write_recipe(workspace, "phonemes", f"extends: {workspace}/model.yaml\nname: phonemes\nparts:\n  frontend: {{use: gruut}}\n")
    parts = Parts.of(recipe, ["train.steps=1"])
    mixture = Mixture(parts, "train", len, lambda batches, total: batches)
    uses, wording, spoken = [task.use for task in parts.recipe.data.tasks], Wording(parts), list(parts.utterances("train"))
    texts = {use: {given(e.sample) for e in mixture.entries if uses[e.task] == use} for use in ("TTS", "MT")}
    assert texts["TTS"] == {wording.frontend.analyse(u.text, u.language) for u in spoken} != {wording.written(u.text, u.language) for u in spoken}
    assert texts["MT"] <= {wording.written(u.text, u.language) for u in spoken} and texts["MT"]
    learnt = [s.content for e in mixture.entries for s in e.sample.segments() if s.learn and isinstance(s.content, str)]
    assert learnt and not any("ˈ" in text for text in learnt), "what the model writes is text"

    pipeline = Pipeline(train(recipe, ["train.steps=1", "train.validate_every_steps=0"], tmp_path, quiet=True))
    assert given(pipeline.sample(request("TTS", "Dr. Smith has 21 keys."))).startswith("dˈɑktɚ smˈɪθ")
    assert given(pipeline.sample(request("MT", "Dr. Smith has 21 keys.", "es"))) == "dr smith has twenty one keys"
    assert pipeline.run("TTS", "Press 2.", "en").request.content == "Press 2."


def request(task: str, text: str, target: str = ""):
    from alm.core.results import Request

    return Request(task, text, "en", target)


def test_a_text_tokenizer_learns_what_it_will_read(workspace, small_corpus, tmp_path):
    from transformers import AutoTokenizer

    pieces = []
    for name, parts in (("plain", "{}"), ("read", "{frontend: {use: gruut}}")):
        recipe = write_recipe(
            workspace,
            f"bpe-{name}",
            f"name: bpe-{name}\nparts: {parts}\ndata: {{corpora: [{{use: cuts, folder: 'dir:{small_corpus}'}}]}}\ntrain: {{objective: bpe, options: {{vocabulary_size: 300}}}}\n",
        )
        tokenizer = AutoTokenizer.from_pretrained(train(recipe, [], tmp_path / name, quiet=True))
        pieces.append(len(tokenizer(" pɹˈɛs ðə pˈaʊnd kˈi").input_ids))
    assert pieces[1] < pieces[0]


def test_a_front_end_that_does_not_fit_is_found_before_training(workspace, small_model):
    from alm.core.check import check_recipe

    recipe = write_recipe(workspace, "misfit", f"extends: {workspace}/model.yaml\nname: misfit\nparts:\n  frontend: {{use: gruut, symbols: letters}}\n")
    assert any("symbols 'letters'" in got for got, _, _ in check_recipe(Parts.of(recipe)))
    recipe = write_recipe(workspace, "tongue", f"extends: {workspace}/model.yaml\nname: tongue\nparts:\n  frontend: {{use: gruut}}\ndata:\n  tasks: [{{use: TTS, source: [fi]}}]\n")
    assert any("front end can analyse" in wanted for _, wanted, _ in check_recipe(Parts.of(recipe)))
