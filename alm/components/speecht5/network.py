"""SpeechT5 through transformers: speech to text, text to speech, speech to speech of another voice. One network, three pairs of nets around it."""

from __future__ import annotations

from collections.abc import Sequence as Many
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import SpeechT5ForSpeechToSpeech, SpeechT5ForSpeechToText, SpeechT5ForTextToSpeech, SpeechT5HifiGan, SpeechT5Processor

from alm.api.errors import AlmError, UnknownNameError, did_you_mean
from alm.api.interfaces import LoadContext
from alm.api.types import Audio
from alm.components.encoders.checkpoints import load_pretrained
from alm.components.speecht5.cards import SAMPLE_RATE_HZ, VOICES_FILE, SpeechT5RecognizerOptions, SpeechT5VoiceOptions, converter_card, recognizer_card, synthesizer_card

WINDOW_SAMPLES = 30 * SAMPLE_RATE_HZ
LEAST_SAMPLES = 1600  # that its convolutions can take
LETTERS_PER_S = 30  # of a transcript, at most
BATCH = 8


class SpeechT5Recognizer:
    """Speech -> text, greedily, in windows of 30 s. Immutable once loaded."""

    def __init__(self, options: SpeechT5RecognizerOptions, context: LoadContext) -> None:
        self.card = recognizer_card(options, context)
        self.processor = load_processor(options.weights, context)
        self.model = load_pretrained(options.weights, context, SpeechT5ForSpeechToText)

    @torch.inference_mode()
    def read(self, audio: Many[Audio], language: str, task: Literal["transcribe", "translate"] = "transcribe") -> list[str]:
        _check_language(language, self.card.languages)
        if task != "transcribe":
            raise AlmError(f"got task {task} for SpeechT5", "a transcript", "choose another recognizer")
        windows = [(owner, window) for owner, clip in enumerate(audio) for window in heard(clip).split(WINDOW_SAMPLES) if len(window) >= LEAST_SAMPLES]
        texts: list[list[str]] = [[] for _ in audio]
        for start in range(0, len(windows), BATCH):
            batch = windows[start : start + BATCH]
            given = self.processor(audio=[window.numpy() for _, window in batch], sampling_rate=SAMPLE_RATE_HZ, padding=True, return_tensors="pt", return_attention_mask=True)
            longest = max(len(window) for _, window in batch)
            ids = self.model.generate(**given.to(self.model.device), max_new_tokens=max(8, LETTERS_PER_S * longest // SAMPLE_RATE_HZ), do_sample=False, num_beams=1)
            for (owner, _), text in zip(batch, self.processor.batch_decode(ids, skip_special_tokens=True), strict=True):
                texts[owner].append(text.strip())
        return [" ".join(pieces) for pieces in texts]


class Voices:
    """Speakers by name, the mel spectrogram's vocoder, and what both kinds of speaking share."""

    def __init__(self, options: SpeechT5VoiceOptions, context: LoadContext, network: Any, names: tuple[str, ...]) -> None:
        self.options, self.names = options, names
        self.processor = load_processor(options.weights, context)
        self.model = load_pretrained(options.weights, context, network)
        self.vocoder = load_pretrained(options.vocoder, context, SpeechT5HifiGan)
        folder = context.folders(options.voices)[0]
        if (folder / VOICES_FILE).is_file():
            self.vectors = load_file(folder / VOICES_FILE)
        else:
            self.vectors = {name: torch.from_numpy(np.load(folder / f"{name}.npy", allow_pickle=False)) for name in names}
        wanted = self.model.config.speaker_embedding_dim
        for name, vector in self.vectors.items():
            if vector.numel() != wanted:
                raise AlmError(
                    f"got a vector of {vector.numel()} numbers for speaker {name!r}",
                    f"{wanted}, as the network knows speakers",
                    "make it by the speaker encoder it was trained with",
                )

    @torch.inference_mode()
    def speak(self, inputs: Tensor, speaker: str) -> Audio:
        """One clip. Its dropout in the decoder's first layers stays on, as Tacotron 2's does, so that each rendering is another one.

        Args:
            inputs: ids of a text, or samples, [1, N].
        """
        if speaker and speaker not in self.names:
            raise UnknownNameError(f"got speaker {speaker!r}", "one of the voices", did_you_mean(speaker, self.names))
        vector = self.vectors[speaker or self.names[0]].float().reshape(1, -1).to(self.model.device)
        mask = torch.ones(inputs.shape, dtype=torch.int64, device=self.model.device)
        sound = self.model.generate_speech(inputs.to(self.model.device), vector, mask, threshold=self.options.threshold, vocoder=self.vocoder)
        return Audio(sound.cpu().reshape(1, -1), SAMPLE_RATE_HZ)


class SpeechT5Synthesizer:
    """Text -> speech."""

    def __init__(self, options: SpeechT5VoiceOptions, context: LoadContext) -> None:
        self.card = synthesizer_card(options, context)
        self.voices = Voices(options, context, SpeechT5ForTextToSpeech, self.card.speakers)

    def speak(self, texts: Many[str], language: str, speaker: str = "") -> list[Audio]:
        _check_language(language, self.card.languages)
        clips = []
        for text in texts:
            if not any(character.isalnum() for character in text):
                raise AlmError(f"got text {text!r}", "something to say", "write a word")
            ids = self.voices.processor(text=text, return_tensors="pt")["input_ids"]
            most = self.voices.model.config.max_text_positions
            if ids.shape[1] > most:
                raise AlmError(f"got a text of {ids.shape[1]} ids", f"at most {most}", "speak it sentence by sentence")
            clips.append(self.voices.speak(ids, speaker))
        return clips


class SpeechT5Converter:
    """Speech -> the same by another voice."""

    def __init__(self, options: SpeechT5VoiceOptions, context: LoadContext) -> None:
        self.card = converter_card(options, context)
        self.voices = Voices(options, context, SpeechT5ForSpeechToSpeech, self.card.speakers)

    def convert(self, audio: Many[Audio], speaker: str = "") -> list[Audio]:
        clips = []
        for clip in audio:
            samples = heard(clip)
            if len(samples) < LEAST_SAMPLES:
                raise AlmError(f"got {len(samples)} samples", f"at least {LEAST_SAMPLES} at {SAMPLE_RATE_HZ} Hz", "record a longer clip")
            spoken = []
            for window in samples.split(WINDOW_SAMPLES):
                if len(window) >= LEAST_SAMPLES:
                    values = self.voices.processor(audio=window.numpy(), sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")["input_values"]
                    spoken.append(self.voices.speak(values, speaker))
            clips.append(Audio.join(spoken))
        return clips


def heard(clip: Audio) -> Tensor:
    """Samples [T] at its rate."""
    return clip.mono().resample(SAMPLE_RATE_HZ).samples[0]


def _check_language(language: str, known: tuple[str, ...]) -> None:
    if language not in known:
        raise UnknownNameError(f"got language {language!r}", f"the model's: {', '.join(known)}", "choose another model")


def load_processor(weights: str, context: LoadContext) -> Any:
    """
    Raises:
        AlmError: a folder without a processor, or no sentencepiece to read its text tokenizer.
    """
    folder: Path = context.folders(weights)[0]
    try:
        return SpeechT5Processor.from_pretrained(folder)
    except ImportError as error:
        raise AlmError("SpeechT5 needs sentencepiece for its text tokenizer", "the package sentencepiece", "pip install alm-audio[speecht5]") from error
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise AlmError(f"got weights {weights!r} without a processor ({' '.join(str(error).split())[:160]})", "the SpeechT5Processor beside the model", "save it there") from error


def load_recognizer(options: SpeechT5RecognizerOptions, context: LoadContext) -> SpeechT5Recognizer:
    return SpeechT5Recognizer(options, context)


def load_synthesizer(options: SpeechT5VoiceOptions, context: LoadContext) -> SpeechT5Synthesizer:
    return SpeechT5Synthesizer(options, context)


def load_converter(options: SpeechT5VoiceOptions, context: LoadContext) -> SpeechT5Converter:
    return SpeechT5Converter(options, context)
