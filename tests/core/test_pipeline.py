"""What comes piece by piece is what comes at once, and it comes before the end."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from alm.api.errors import AlmError
from alm.api.types import Audio, Prosody
from alm.core.pipeline import Pipeline


@pytest.fixture(scope="module")
def model(small_model) -> Pipeline:
    return Pipeline(small_model)


def joined(pieces):
    return torch.cat([piece.audio.samples for piece in pieces if piece.audio is not None], 1)


@pytest.mark.parametrize(("first", "chunk"), [(1, 1), (5, 10), (40, 3), (1, 10_000)])
def test_a_stream_is_the_same_sound(model, first, chunk):
    wanted = model.run("TTS", "hello there you", "en")
    pieces = list(model.stream("TTS", "hello there you", "en", first_units=first, chunk_units=chunk))
    assert pieces[-1].result is not None and not any(piece.result for piece in pieces[:-1])
    result = pieces[-1].result
    assert result.emitted == wanted.emitted and result.units is not None and torch.equal(result.units.codes, wanted.units.codes)
    torch.testing.assert_close(joined(pieces), wanted.audio.samples, atol=1e-5, rtol=0)
    torch.testing.assert_close(result.audio.samples, wanted.audio.samples, atol=1e-5, rtol=0)
    assert result.spans == wanted.spans and result.request == wanted.request


def test_sound_comes_while_units_are_being_made(model):
    """The first sound waits for no more units than were asked for and the vocoder needs ahead."""
    lookahead, hop = model.vocoder.card.lookahead_units, 640
    made = [0]
    choose = model.decoder.choose

    class Counting:
        card = model.decoder.card

        def choose(self, scores, generator):
            made[0] += 1
            return choose(scores, generator)

    heard = []
    for piece in model.stream("TTS", "hello there you", "en", decoder=Counting(), first_units=4, chunk_units=6):
        if piece.audio is not None:
            heard.append((made[0], piece.audio.num_samples, piece.seconds))
    assert heard[0][0] == 4 + lookahead and 4 * hop <= heard[0][1] < 5 * hop, "the first units, as soon as they can be spoken"
    assert heard[1][:2] == (10 + lookahead, 6 * hop)
    assert set(heard[0][2]) == {"tokenize", "prefill", "decode", "vocode"} and all(seconds > 0 for seconds in heard[0][2].values())
    assert heard[-1][2]["decode"] > heard[0][2]["decode"]


def test_text_comes_as_it_is_written(model, clip):
    pieces = list(model.stream("ASR", clip, "en"))
    written = "".join(piece.text for piece in pieces)
    assert written == model.run("ASR", clip, "en").text and pieces[-1].result.text == written
    assert all(piece.audio is None for piece in pieces)


def test_a_vocoder_that_does_not_stream_speaks_at_the_end(small_model):
    model = Pipeline(small_model)
    vocoder = model.vocoder
    model.__dict__["vocoder"] = type("Whole", (), {"card": dataclasses.replace(vocoder.card, streams=False), "synthesize": vocoder.synthesize})()
    pieces = list(model.stream("TTS", "hello there you", "en"))
    assert sum(piece.audio is not None for piece in pieces) == 1
    torch.testing.assert_close(joined(pieces), model.run("TTS", "hello there you", "en").audio.samples)


def test_what_is_said_can_be_said_faster(model):
    plain, fast = model.run("TTS", "hello there you", "en"), model.run("TTS", "hello there you", "en", prosody=Prosody(2.0))
    assert fast.emitted == plain.emitted and fast.audio.num_samples == pytest.approx(plain.audio.num_samples / 2, abs=160)
    torch.testing.assert_close(joined(model.stream("TTS", "hello there you", "en", prosody=Prosody(2.0))), fast.audio.samples, atol=1e-5, rtol=0)
    with pytest.raises(AlmError, match="another pitch"):
        model.run("TTS", "hello", "en", prosody=Prosody(pitch_semitones=3.0))


def test_a_stream_refuses_what_run_refuses(model):
    with pytest.raises(AlmError, match="first_units=0"):
        next(model.stream("TTS", "hello", "en", first_units=0))
    with pytest.raises(AlmError, match="a text without a word"):
        next(model.stream("TTS", "!", "en"))
    with pytest.raises(AlmError, match="got a recording for a speaker"):
        next(model.stream("TTS", "hello", "en", speaker=Audio(torch.zeros(1, 16_000), 16_000)))
    with pytest.raises(AlmError, match="a speaker of the vocoder"):
        next(model.stream("TTS", "hello", "en", speaker="nobody"))
