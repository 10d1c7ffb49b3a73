"""Strangers' files, decoded in processes that may crash, hang or run out of memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time

import pytest
import torch

from alm import read_audio, write_audio
from alm.api.errors import AlmError
from alm.api.types import Audio
from alm.core.sandbox import Sandbox
from tests.recorded import recorded


@pytest.fixture(scope="module")
def sandbox():
    made = Sandbox()
    yield made
    made.close()


@pytest.fixture
def stereo():
    return Audio(0.3 * torch.sin(torch.arange(80_000).view(1, -1) * torch.tensor([[0.1], [0.21]])), 16_000)


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert not list(tmp_path.glob("alm-decoded-*"))


def failing(program: str, **options: float) -> Sandbox:
    """A sandbox whose first process is another program."""
    made = Sandbox(1, **options)
    started = made._started
    first = [subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)]
    made._started = lambda: first.pop() if first else started()
    return made


@pytest.mark.parametrize("ending", ["wav", "flac", "opus", "webm"])
def test_it_reads_as_the_reader_does(sandbox, tmp_path, stereo, ending):
    path = tmp_path / f"a.{ending}"
    if ending == "webm":
        recorded(path, stereo)
    else:
        write_audio(path, stereo)
    mine, theirs = sandbox.read_audio(path), read_audio(path)
    assert torch.equal(mine.samples, theirs.samples) and mine.sample_rate_hz == theirs.sample_rate_hz


def test_what_the_reader_refuses_is_refused_alike(sandbox, tmp_path, stereo):
    (tmp_path / "text.wav").write_text("no sound " * 50)
    write_audio(tmp_path / "a.flac", stereo)
    for path, limit_s in ((tmp_path / "text.wav", 60), (tmp_path / "missing.wav", 60), (tmp_path / "a.flac", 2)):
        with pytest.raises(AlmError) as theirs:
            read_audio(path, limit_s)
        with pytest.raises(AlmError) as mine:
            sandbox.read_audio(path, limit_s)
        assert str(mine.value) == str(theirs.value)


@pytest.mark.parametrize("program", ["import os; input(); os.abort()", "import time; input(); time.sleep(60)", "raise SystemExit"], ids=["crashes", "hangs", "ends"])
def test_a_decoder_that_fails_is_replaced(tmp_path, stereo, program):
    made = failing(program, limit_s=1.5)
    write_audio(tmp_path / "a.wav", stereo)
    started = time.monotonic()
    with pytest.raises(AlmError, match="on which the decoder fails"):
        made.read_audio(tmp_path / "a.wav")
    assert time.monotonic() - started < 10
    made.limit_s = 60
    assert made.read_audio(tmp_path / "a.wav").num_samples == 80_000
    made.close()


def test_memory_is_bounded(tmp_path, stereo):
    write_audio(tmp_path / "a.wav", stereo)
    small = Sandbox(1, memory_mb=40)
    with pytest.raises(AlmError, match="more memory than a file may"):
        small.read_audio(tmp_path / "a.wav")
    small.close()


def test_a_small_file_of_hours_is_left_at_the_limit(sandbox, tmp_path):
    """Two hours of silence."""
    import soundfile as sf

    path = tmp_path / "long.flac"
    with sf.SoundFile(path, "w", 8_000, 1, "PCM_16", format="FLAC") as file:
        for _ in range(120):
            file.write(torch.zeros(480_000).numpy())
    assert path.stat().st_size < 1_000_000
    with pytest.raises(AlmError, match="longer than 60 s"):
        sandbox.read_audio(path, 60)
