"""The page in headless Chromium, with the shipped model and the cascade: a person clicks through every tab, by mouse, microphone and file."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

import alm
from alm.api.types import Audio
from alm.core.plugins import build_registry
from alm.demo.options import DemoOptions
from alm.demo.page import Page, launch

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.chromium,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium (.ci/run does)"),
]
TABS = ("Chat", "Translate", "Tokens", "Tasks", "Compare", "Plugins")
WAIT_MS = 120_000  # of a slow machine
# Notes each piece of sound that is played: how long and how loud it is, and whether the answer was whole by then.
EAR = """
window.heard = [];
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (when) {
    const samples = this.buffer.getChannelData(0);
    window.heard.push({seconds: this.buffer.duration, rms: Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length)});
    return start.call(this, when);
};
"""
PLAYERS = "element => [...element.querySelectorAll('[data-played]')].map(e => e.dataset)"


@pytest.fixture(scope="module")
def held_out():
    """An English clip that no training heard, and what is said in it."""
    utterance = next(u for u in alm.load("prompts").parts.utterances("test") if u.language == "en")
    return alm.read_audio(utterance.audio), utterance.text


@pytest.fixture(scope="module")
def address():
    found = build_registry()

    def load():
        raise ImportError("no module named 'long_gone'")

    found.add("broken", load, "2.1")
    page = Page(DemoOptions(("prompts", "cascade"), port=0), found)
    for name in page.pipelines:
        page.open(name).warm_up()
    blocks, url = launch(page, wait=False)
    yield url
    blocks.close()


@pytest.fixture(scope="module")
def browser(held_out, tmp_path_factory):
    from playwright.sync_api import sync_playwright

    spoken = held_out[0].mono().resample(16_000)
    said = tmp_path_factory.mktemp("microphone") / "said.wav"
    alm.write_audio(said, Audio(torch.cat([torch.zeros(1, 4_000), spoken.samples, torch.zeros(1, 8_000)], 1), 16_000))
    flags = ["--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", f"--use-file-for-fake-audio-capture={said}%noloop"]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield running
        running.close()


@contextmanager
def opened(browser, address, width: int = 1280) -> Iterator:
    context = browser.new_context(viewport={"width": width, "height": 900}, permissions=["microphone"])
    context.set_default_timeout(WAIT_MS)
    context.add_init_script(EAR)
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    yield page
    context.close()
    assert not errors


def on(page, tab: str):
    """Opens a tab; where the page is narrow, by the menu of those that have no room."""
    chosen = page.get_by_role("tab", name=tab, exact=True).filter(visible=True)
    page.get_by_role("tab", name="Chat", exact=True).filter(visible=True).first.wait_for()
    if not chosen.count():
        page.locator(".overflow-menu > button").click()
        chosen = page.locator(".overflow-dropdown").get_by_text(tab, exact=True)
    chosen.first.click()
    return page.get_by_role("tabpanel").filter(visible=True)


def whole(panel):
    """Waits until a player has all of a sound; returns its seconds."""
    player = panel.locator("[data-done='true'] audio").first
    player.wait_for(state="visible")
    return player.evaluate("e => new Promise(done => e.duration ? done(e.duration) : e.onloadedmetadata = () => done(e.duration))")


def until(page, holds) -> None:
    """Waits for something that no selector says; Gradio may make the elements of a component anew at any time."""
    for _ in range(WAIT_MS // 200):
        if holds():
            return
        page.wait_for_timeout(200)
    raise AssertionError("it did not come")


def filled(field) -> str:
    """Waits until something is written in a text box."""
    until(field.page, lambda: field.input_value().strip())
    return field.input_value()


def test_speech_is_translated_aloud_before_the_end_is_made(browser, address):
    with opened(browser, address) as page:
        panel = on(page, "Translate")
        panel.get_by_text("en: Login incorrect").click()
        panel.get_by_text("0:05").wait_for()
        panel.get_by_role("button", name="Translate", exact=True).click()
        panel.locator("[data-played]:not([data-played='0'])").wait_for(state="attached")
        state = panel.evaluate(PLAYERS)[0]
        assert int(state["played"]) >= 1 and state["done"] == "false", "the first sound is played while the rest is made"
        seconds, heard = whole(panel), page.evaluate("window.heard")
        assert len(heard) > 1 and max(piece["rms"] for piece in heard) > 0.02
        assert sum(piece["seconds"] for piece in heard) == pytest.approx(seconds, abs=0.05)
        assert "agent number" in panel.get_by_role("textbox", name="What was said").input_value()
        assert "agente" in panel.get_by_role("textbox", name="Translation").input_value()


def test_the_microphone_is_heard_and_its_units_are_edited(browser, address, held_out):
    with opened(browser, address) as page:
        panel = on(page, "Tokens")
        panel.get_by_role("button", name="Record", exact=True).click()
        page.wait_for_timeout(2_000)
        with page.expect_response("**/upload*"):
            panel.get_by_role("button", name="Stop", exact=True).click()
        panel.get_by_text("1x", exact=True).wait_for()
        page.wait_for_timeout(1_500)
        panel.get_by_role("button", name="Tokenize", exact=True).click()
        codes = panel.get_by_role("textbox", name="Units (edit them)")
        units = filled(codes).split()
        assert len(units) > 25 and len(set(units)) > 8, "speech, not silence"
        assert whole(panel) == pytest.approx(len(units) / 25, abs=0.1)
        codes.fill(" ".join(units[:20]))
        panel.get_by_role("button", name="Speak the units").click()
        until(page, lambda: whole(panel) < 1)
        codes.fill("1 2 3000")
        panel.get_by_role("button", name="Speak the units").click()
        page.get_by_text("got '3000'; wanted units of 0 to 1023").first.wait_for()


def test_a_bad_file_is_told(browser, address, tmp_path):
    (tmp_path / "notes.wav").write_text("these are no samples")
    with opened(browser, address) as page:
        panel = on(page, "Tasks")
        panel.get_by_role("button", name="Upload file").click()
        with page.expect_response("**/upload*"):
            panel.locator("input[type=file]").first.set_input_files(tmp_path / "notes.wav")
        page.wait_for_timeout(1_000)
        panel.get_by_role("button", name="Run", exact=True).click()
        page.get_by_text("got notes.wav").first.wait_for()
        panel.get_by_role("combobox", name="Task", exact=True).click()
        page.get_by_role("option", name="TTS", exact=True).click()
        panel.get_by_role("button", name="Run", exact=True).click()
        assert whole(panel) > 1, "and leaves the page at work"


def test_a_conversation_aloud_that_is_interrupted(browser, address):
    with opened(browser, address) as page:
        panel = on(page, "Chat")
        box = panel.get_by_placeholder("Write, record")
        box.fill("What is the capital of France?")
        box.press("Enter")
        assert whole(panel) > 0.5
        assert "Paris" in panel.locator(".bot").last.inner_text()
        box.fill("Tell me a long story about a key.")
        box.press("Enter")
        panel.locator(".bot").nth(1).wait_for()
        until(page, lambda: len(panel.locator(".bot").nth(1).inner_text().strip()) > 1)
        panel.get_by_role("button", name="Stop", exact=True).click()
        page.wait_for_timeout(1_500)
        shown = panel.locator(".bot").nth(1).inner_text()
        page.wait_for_timeout(1_500)
        assert panel.locator(".bot").nth(1).inner_text() == shown, "it has stopped"
        box.fill("Hello.")
        box.press("Enter")
        panel.locator(".bot").nth(2).wait_for()


def test_two_models_are_compared(browser, address, held_out):
    with opened(browser, address) as page:
        panel = on(page, "Compare")
        panel.get_by_text("en: Login incorrect").click()
        panel.get_by_text("0:05").wait_for()
        panel.get_by_role("button", name="Compare", exact=True).click()
        for side in ("one", "other"):
            assert "agent number" in filled(panel.get_by_role("textbox", name=f"Result of the {side}")).lower()
        assert panel.get_by_text(re.compile(r"first text after \d+\.\d\d s, all after")).count() == 2


def test_plugins_are_shown_with_those_that_were_set_aside(browser, address):
    with opened(browser, address) as page:
        panel = on(page, "Plugins")
        panel.get_by_text("mfcc", exact=True).first.click()
        panel.get_by_text("sample_rate_hz").first.wait_for()
        panel.get_by_text("broken 2.1: ImportError").click()
        assert "long_gone" in panel.locator("pre").inner_text()


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_is_accessible(browser, address, width):
    """No tab is wider than a phone, and axe-core finds nothing serious in any."""
    from axe_playwright_python.sync_playwright import Axe

    with opened(browser, address, width) as page:
        for tab in TABS:
            on(page, tab)
            page.wait_for_timeout(800)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, tab
            found = [(v["id"], [node["html"] for node in v["nodes"]]) for v in Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")]
            assert not found, (tab, found)
