"""Reading and writing sound: every format, and every kind of broken file with one clear line."""

from __future__ import annotations

import struct
import sys

import numpy as np
import pytest
import soundfile as sf
import torch

from alm import read_audio, write_audio
from alm.api.errors import AlmError
from alm.api.types import Audio, AudioFile
from alm.core.audio import duration_of
from tests.recorded import RECORDED, recorded


@pytest.fixture
def tone():
    t = torch.arange(16_000) / 16_000
    return Audio(0.5 * torch.sin(2 * torch.pi * 440 * t)[None], 16_000)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "opus"])
def test_written_sound_reads_back(tmp_path, tone, ending):
    path = tmp_path / f"deep/tone.{ending}"
    write_audio(path, tone)
    back = read_audio(path)
    assert back.sample_rate_hz == 16_000
    assert back.duration_s == pytest.approx(1.0, abs=0.01)
    assert float((back.samples[0, 2000:14000] - tone.samples[0, 2000:14000]).abs().mean()) < 0.02
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_mp3_reads(tmp_path, tone):
    sf.write(tmp_path / "tone.mp3", tone.samples[0].numpy(), 16_000, format="MP3")
    assert read_audio(tmp_path / "tone.mp3").duration_s == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("ending", RECORDED)
def test_what_browsers_and_telephones_record_reads(tmp_path, ending):
    """Whole, from any place on, and by a name that says nothing."""
    t = torch.arange(48_000) / 16_000
    sweep = Audio(torch.stack([0.5 * torch.sin(2 * torch.pi * (200 + 150 * t) * t), 0.3 * torch.sin(2 * torch.pi * 300 * t)]), 16_000)
    path = recorded(tmp_path / f"sweep.{ending}", sweep)
    whole = read_audio(path)
    assert duration_of(AudioFile(path)) == whole.duration_s == pytest.approx(3.0, abs=0.15 if ending == "aac" else 0.03)
    assert len(whole.samples) == 2
    wanted = sweep.resample(whole.sample_rate_hz)
    late = 2100 if ending == "aac" else 48  # ADTS does not say what the codec put in front
    size = whole.num_samples + wanted.num_samples
    shift = int(torch.fft.irfft(torch.fft.rfft(whole.samples[0], size) * torch.fft.rfft(wanted.samples[0], size).conj(), size).argmax())
    assert shift <= late
    length = min(whole.num_samples - shift, wanted.num_samples)
    for mine, theirs in zip(whole.samples, wanted.samples, strict=True):
        assert float(torch.corrcoef(torch.stack([mine[shift : shift + length], theirs[:length]]))[0, 1]) > 0.98
    rate = whole.sample_rate_hz
    part = read_audio(AudioFile(path, 1.25, 0.5))
    assert part.num_samples == rate // 2
    about = [float((part.samples - whole.samples[:, n : n + part.num_samples]).abs().mean()) for n in range(round(1.249 * rate), round(1.251 * rate) + 1)]
    assert min(about) < 2e-3, "to a millisecond, which webm counts in"
    (tmp_path / "sound").write_bytes(path.read_bytes())
    assert torch.equal(read_audio(tmp_path / "sound").samples, whole.samples)
    with pytest.raises(AlmError, match="longer than 2 s"):
        read_audio(path, max_duration_s=2)


@pytest.mark.parametrize("ending", ["webm", "m4a"])
def test_a_recording_that_is_cut_or_broken_is_read_or_refused(tmp_path, ending, tone):
    data = recorded(tmp_path / f"tone.{ending}", tone).read_bytes()
    for length in range(0, len(data), max(1, len(data) // 40)):
        path = tmp_path / f"cut.{ending}"
        path.write_bytes(data[:length])
        found = read_or_refused(path)
        assert "Fix:" in found if isinstance(found, str) else 0 < found <= 1.1


def read_or_refused(path):
    """Seconds, or why not."""
    try:
        return read_audio(path).duration_s
    except AlmError as error:
        return str(error)


def test_a_playlist_is_not_followed(tmp_path, tone):
    """FFmpeg would read the file that it names."""
    write_audio(tmp_path / "secret.wav", tone)
    for name, text in (("list.m3u8", f"#EXTM3U\n#EXTINF:1,\n{tmp_path}/secret.wav\n#EXT-X-ENDLIST\n"), ("list.m4a", f"ffconcat version 1.0\nfile {tmp_path}/secret.wav\n")):
        (tmp_path / name).write_text(text)
        with pytest.raises(AlmError, match="cannot be decoded"):
            read_audio(tmp_path / name)


def test_without_pyav_the_fix_is_named(tmp_path, tone, monkeypatch):
    path = recorded(tmp_path / "tone.m4a", tone)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AlmError, match="pip install av"):
        read_audio(path)


def test_long_ogg_is_written_in_blocks(tmp_path):
    write_audio(tmp_path / "long.ogg", Audio(torch.zeros(1, 17_000_000), 48_000))
    assert read_audio(tmp_path / "long.ogg").num_samples == 17_000_000


def test_part_of_a_file(tmp_path, tone):
    write_audio(tmp_path / "tone.wav", tone)
    part = read_audio(AudioFile(tmp_path / "tone.wav", 0.25, 0.5))
    assert part.num_samples == 8_000
    assert torch.allclose(part.samples, tone.samples[:, 4_000:12_000], atol=1e-4)


def bad_files(folder):
    """name -> (path, what the message must say)."""
    good = folder / "good.wav"
    sf.write(good, np.zeros(8_000, dtype=np.float32), 16_000)
    whole = good.read_bytes()
    made = {}

    def put(name, data, message):
        (folder / name).write_bytes(data)
        made[name] = (folder / name, message)

    put("empty.wav", b"", "is empty")
    put("text.wav", b"This is no sound at all.\n" * 20, "cannot be decoded")
    put("header.wav", whole[:44].replace(struct.pack("<I", 16_000), struct.pack("<I", 0), 1), "samples|cannot be decoded|truncated")
    put("cut.wav", whole[: len(whole) // 2], "truncated")
    sf.write(folder / "nan.wav", np.full(100, np.nan, dtype=np.float32), 16_000, subtype="FLOAT")
    made["nan.wav"] = (folder / "nan.wav", "NaN")
    sf.write(folder / "fast.wav", np.zeros(100, dtype=np.float32), 10_000_000)
    made["fast.wav"] = (folder / "fast.wav", "10000000 Hz")
    sf.write(folder / "many.wav", np.zeros((100, 64), dtype=np.float32), 16_000)
    made["many.wav"] = (folder / "many.wav", "64 channels")
    made["missing.wav"] = (folder / "missing.wav", "not a file")
    return made


NAMES = ["empty.wav", "text.wav", "header.wav", "cut.wav", "nan.wav", "fast.wav", "many.wav", "missing.wav"]


@pytest.mark.parametrize("name", NAMES)
def test_broken_files_are_refused_with_one_line(tmp_path, name):
    path, message = bad_files(tmp_path)[name]
    with pytest.raises(AlmError, match=message) as caught:
        read_audio(path)
    assert "Fix:" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_cut_flac_is_refused(tmp_path):
    sf.write(tmp_path / "a.flac", np.random.default_rng(0).standard_normal(40_000).astype(np.float32) * 0.1, 16_000)
    data = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "b.flac").write_bytes(data[: len(data) // 2])
    with pytest.raises(AlmError, match=r"ends after|cannot be decoded"):
        read_audio(tmp_path / "b.flac")


def test_duration_is_limited_while_decoding(tmp_path):
    write_audio(tmp_path / "long.flac", Audio(torch.zeros(1, 3_200_000), 16_000))
    with pytest.raises(AlmError, match="longer than 10 s"):
        read_audio(tmp_path / "long.flac", max_duration_s=10)


@pytest.mark.parametrize("name", ["sound.xyz", "sound"])
def test_unknown_output_format(tmp_path, tone, name):
    with pytest.raises(AlmError, match=r"\.wav"):
        write_audio(tmp_path / name, tone)


def test_failed_write_leaves_nothing(tmp_path, tone, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("disk full")

    monkeypatch.setattr(sf.SoundFile, "write", fail)
    with pytest.raises(RuntimeError):
        write_audio(tmp_path / "a.wav", tone)
    assert list(tmp_path.iterdir()) == []
