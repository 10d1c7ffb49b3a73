"""The page without a browser: its API answers, mistakes become messages, and a tab that fails leaves the others."""

from __future__ import annotations

import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

import alm
from alm.api.errors import AlmError
from alm.api.player import Playing, whole
from alm.api.types import Audio, Units
from alm.components.demos.tokens import read, written
from alm.core.plugins import build_registry
from alm.demo.options import DemoOptions
from alm.demo.page import Page, launch


@pytest.fixture(scope="module")
def served(small_model):
    class Odd:
        @alm.hookimpl
        def register_demos(self, register):
            def fails(page):
                page.open("nowhere")

            register("Odd", fails)

    found = build_registry()
    found.add("odd", Odd)
    page = Page(DemoOptions((str(small_model),), port=0, max_duration_s=20), found)
    blocks, url = launch(page, wait=False)
    yield page, Client(url, verbose=False), blocks
    blocks.close()


@pytest.fixture(scope="module")
def client(served):
    return served[1]


def test_it_speaks_and_listens(client, small_model, clip, tmp_path):
    alm.write_audio(tmp_path / "clip.wav", clip)
    _, spoken, _ = client.predict(None, "thank you", "TTS", "en", "es", str(small_model), api_name="/run")
    assert spoken["done"] and spoken["pieces"] and spoken["rate_hz"] == 16_000
    text, sound, sequence = client.predict(handle_file(tmp_path / "clip.wav"), "", "ASR", "en", "es", str(small_model), api_name="/run")
    assert isinstance(text, str) and sound is None and "units" in sequence and "all after" in sequence


def test_units_are_edited_and_spoken_again(client, small_model, clip, tmp_path):
    alm.write_audio(tmp_path / "clip.wav", clip)
    picture, codes, spoken = client.predict(handle_file(tmp_path / "clip.wav"), str(small_model), "allison", api_name="/tokenize")
    count = len(codes.split())
    assert "<img" in picture and count == pytest.approx(25 * clip.duration_s, abs=2) and spoken["done"]
    _, again = client.predict(" ".join(codes.split()[: count // 2]), str(small_model), "allison", api_name="/speak_units")
    assert sum(map(len, again["pieces"])) == pytest.approx(sum(map(len, spoken["pieces"])) / 2, rel=0.1)
    with pytest.raises(AppError, match="got '32'; wanted units of 0 to 31"):
        client.predict("1 2 32", str(small_model), "allison", api_name="/speak_units")


def test_mistakes_become_messages(client, small_model, tmp_path):
    model = str(small_model)
    with pytest.raises(AppError, match="without a word"):
        client.predict(None, "...", "TTS", "en", "es", model, api_name="/run")
    with pytest.raises(AppError, match="got no sound"):
        client.predict(None, "", "ASR", "en", "es", model, api_name="/run")
    (tmp_path / "song.wav").write_text("la la la")
    with pytest.raises(AppError, match=r"got song\.wav"):
        client.predict(handle_file(tmp_path / "song.wav"), "", "ASR", "en", "es", model, api_name="/run")
    alm.write_audio(tmp_path / "long.wav", Audio(torch.zeros(1, 8_000 * 21), 8_000))
    with pytest.raises(AppError, match=r"got long\.wav, which is longer than 20 s"):
        client.predict(handle_file(tmp_path / "long.wav"), "", "ASR", "en", "es", model, api_name="/run")


def test_a_tab_that_fails_leaves_the_others(served):
    page, _, blocks = served
    told = [block.value for block in blocks.blocks.values() if type(block).__name__ == "Markdown" and "set aside" in str(block.value)]
    assert len(told) == 1 and "Tab 'Odd' of plugin 'odd'" in told[0] and "nowhere" in told[0]
    assert {"Chat", "Translate", "Tokens", "Tasks", "Compare", "Plugins", "Odd"} <= {block.label for block in blocks.blocks.values() if type(block).__name__ == "Tab"}
    assert ("odd", "tab", "Odd") in {(row.plugin, row.kind, row.name) for row in page.registered()}


def test_a_card_is_shown(served):
    page, *_ = served
    assert page.card("tokenizer", "alm/mfcc")["sample_rate_hz"] == "16000"
    with pytest.raises(AlmError):
        page.card("tokenizer", "alm/hubert")  # whose card depends on weights


def test_a_model_that_does_not_exist_is_named():
    with pytest.raises(AlmError, match="promts"):
        Page(DemoOptions(("promts",)))


def test_units_in_writing():
    merged = Units(torch.tensor([[3, 14, 3]]), 25.0, "x", torch.tensor([1, 5, 2]))
    assert written(merged) == "3 14x5 3x2"
    back = read("3 14x5 3x2", merged, (20,))
    assert back.codes.tolist() == merged.codes.tolist() and back.durations.tolist() == [1, 5, 2] and back.fingerprint == "x"
    two = Units(torch.tensor([[1, 2], [3, 4]]), 25.0, "x")
    assert read(written(two), two, (5, 5)).codes.tolist() == two.codes.tolist()
    for text, like, sizes, message in (
        ("1 2", two, (5, 5), "one line a codebook"),
        ("1 2\n3", two, (5, 5), "2 of as many units each"),
        ("1x2 2\n3 4", two, (5, 5), "'1x2'; wanted units of 0 to 4"),
        ("3x0", merged, (20,), "how many frames each lasts"),
        ("one", merged, (20,), "got 'one'"),
        ("", merged, (20,), "no units"),
    ):
        with pytest.raises(AlmError, match=message):
            read(text, like, sizes)


def test_what_a_player_is_shown_grows():
    playing, clip = Playing(), Audio(torch.full((2, 80), 0.5), 8_000)
    first, second = playing.add(clip), playing.add(None)
    assert first == second and len(playing.add(clip)["pieces"]) == 2 and len(first["pieces"]) == 1, "what was shown before does not change"
    assert playing.end()["done"] and whole(clip)["pieces"] == first["pieces"] and not whole(clip)["aloud"] and whole(None) is None
