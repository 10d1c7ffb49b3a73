"""A Piper voice (VITS, arXiv 2106.06103) as a Synthesizer. Sees text, gives sound."""

from __future__ import annotations

from collections.abc import Sequence as Many

import numpy as np
import torch
from piper import PiperVoice, SynthesisConfig

from alm.api.errors import AlmError, UnknownNameError, did_you_mean
from alm.api.interfaces import LoadContext
from alm.api.types import Audio
from alm_piper.cards import PiperOptions, piper_card, voice_file


class PiperSynthesizer:
    """See the module. Each rendering is another one: VITS draws its noise anew."""

    def __init__(self, voice: PiperVoice, options: PiperOptions, context: LoadContext) -> None:
        self.voice, self.options, self.card = voice, options, piper_card(options, context)

    def speak(self, texts: Many[str], language: str, speaker: str = "") -> list[Audio]:
        card = self.card
        if language not in card.languages:
            raise UnknownNameError(f"got language {language!r}", f"the voice's: {', '.join(card.languages)}", "choose another voice")
        if speaker and speaker not in card.speakers:
            raise UnknownNameError(
                f"got speaker {speaker!r}", "a speaker of the voice", did_you_mean(speaker, card.speakers) if card.speakers else "leave it out: it has one alone"
            )
        config = SynthesisConfig(speaker_id=card.speakers.index(speaker) if speaker else None, length_scale=1 / self.options.tempo)
        clips = []
        for text in texts:
            sounds = [chunk.audio_float_array for chunk in self.voice.synthesize(text, config)] if text.strip() else []
            if not sounds:
                raise AlmError(f"got text {text!r}", "something to say", "write a word")
            clips.append(Audio(torch.from_numpy(np.concatenate(sounds)).float()[None], card.sample_rate_hz))
        return clips


def load_voice(options: PiperOptions, context: LoadContext) -> PiperSynthesizer:
    return PiperSynthesizer(PiperVoice.load(voice_file(options, context)), options, context)
