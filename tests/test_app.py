"""The page: its API answers, mistakes become messages, and in headless Chromium a person can click through it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import alm
from alm.api.errors import AlmError

sys.path.insert(0, str(Path(__file__).parents[1]))


@pytest.fixture(scope="module")
def address(small_model):
    from demos.app import build

    page = build(alm.load(str(small_model)))
    _, url, _ = page.queue().launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    yield url
    page.close()


def test_page_speaks_and_listens(address, tmp_path):
    from gradio_client import Client, handle_file

    client = Client(address, verbose=False)
    _, spoken = client.predict("thank you", "TTS", "en", "es", api_name="/run_text")
    assert alm.read_audio(spoken).duration_s > 0.05
    text, _, sequence = client.predict(handle_file(spoken), "ASR", "en", "es", api_name="/run_speech")
    assert isinstance(text, str)
    assert "units" in sequence


def test_mistakes_become_messages(address):
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    client = Client(address, verbose=False)
    with pytest.raises(AppError, match="without a word"):
        client.predict("...", "TTS", "en", "es", api_name="/run_text")
    with pytest.raises(AppError, match="no sound"):
        client.predict(None, "ASR", "en", "es", api_name="/run_speech")


def test_sound_of_every_kind_reaches_the_model():
    from alm.components.demos.tabs import to_audio

    assert to_audio((8_000, np.zeros((800, 2), dtype=np.int16))).num_channels == 2
    assert float(to_audio((8_000, np.full(8, 16_384, dtype=np.int16))).samples.max()) == pytest.approx(0.5, abs=1e-3)
    assert to_audio((8_000, np.zeros(8, dtype=np.float32))).sample_rate_hz == 8_000
    for nothing in (None, (8_000, np.zeros(0, dtype=np.int16))):
        with pytest.raises(AlmError):
            to_audio(nothing)


CHROMIUM = shutil.which("chromium")


@pytest.mark.chromium
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium (.ci/run does)")
def test_page_renders_in_chromium(address, tmp_path):
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
    command = [CHROMIUM, *flags.split(), f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=20000", "--dump-dom", address]
    page = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env={**os.environ, "HOME": str(tmp_path)}).stdout
    for expected in ("Speech", "Text", "Units", "Run"):
        assert expected in page
