"""Whisper as the judge of speech: recognition and translation into English, greedy, 30 s windows. Sees audio.

Used for baselines and for the metrics that read back what a model said (ASR-BLEU, WER of synthesized speech). Weights as
for the `whisper` encoder: a transformers folder or packages with a CTranslate2 model.bin.
"""

from __future__ import annotations

import json
from collections.abc import Sequence as Many
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache, WhisperFeatureExtractor, WhisperForConditionalGeneration

from alm.api.cards import RecognizerCard
from alm.api.errors import AlmError, UnknownNameError
from alm.api.interfaces import LoadContext
from alm.api.recognition import Heard
from alm.api.types import Audio
from alm.components.encoders import ctranslate2
from alm.components.encoders.whisper import whisper_config
from alm.components.recognizers.cards import WhisperRecognizerOptions, whisper_recognizer_card

SAMPLE_RATE_HZ = 16_000
WINDOW_SAMPLES = 30 * SAMPLE_RATE_HZ
MAX_IDS = 160
BATCH = 8


class WhisperRecognizer:
    """Immutable once loaded."""

    def __init__(self, model: Any, tokenizer: Tokenizer, suppressed: list[int], suppressed_first: list[int], card: RecognizerCard) -> None:
        self.card = card
        self.model, self.tokenizer = model.eval(), tokenizer
        self.suppressed, self.suppressed_first = suppressed, suppressed_first

    @cached_property
    def _mel(self) -> WhisperFeatureExtractor:
        return WhisperFeatureExtractor(feature_size=self.model.config.num_mel_bins)

    @property
    def multilingual(self) -> bool:
        return self.tokenizer.token_to_id("<|translate|>") is not None and self.model.config.vocab_size >= 51865

    def read(self, audio: Many[Audio], language: str, task: Literal["transcribe", "translate"] = "transcribe") -> list[str]:
        """Text of each clip; a clip that is longer than one window is read window by window.

        Raises:
            AlmError: a task or language that this checkpoint has not learnt.
        """
        return [heard.text for heard in self.read_closely(audio, language, task)]

    @torch.inference_mode()
    def read_closely(self, audio: Many[Audio], language: str, task: Literal["transcribe", "translate"] = "transcribe") -> list[Heard]:
        """The same with the mean log-probability of its ids.

        Raises:
            AlmError: a task or language that this checkpoint has not learnt.
        """
        if language not in self.card.languages and self.multilingual:
            raise UnknownNameError(f"got language {language!r}", "a language that Whisper hears well", f"one of: {', '.join(self.card.languages)}")
        if (task == "translate" or language != "en") and not self.multilingual:
            raise AlmError(f"got {task} in language {language!r}", "an English-only recognizer transcribes English", "use Whisper base")
        windows = [(i, w) for i, clip in enumerate(audio) for w in clip.mono().resample(SAMPLE_RATE_HZ).samples[0].split(WINDOW_SAMPLES)]
        found: list[list[tuple[str, list[float]]]] = [[] for _ in audio]
        for start in range(0, len(windows), BATCH):
            batch = windows[start : start + BATCH]
            for (owner, _), read in zip(batch, self._read_batch([w for _, w in batch], language, task), strict=True):
                found[owner].append(read)
        results = []
        for pieces in found:
            log_probs = [value for _, values in pieces for value in values]
            results.append(Heard(" ".join(text for text, _ in pieces), sum(log_probs) / len(log_probs) if log_probs else None))
        return results

    def _read_batch(self, clips: Many[Tensor], language: str, task: str) -> list[tuple[str, list[float]]]:
        """Windows [T] of at most 30 s -> texts, and the log-probability of each id."""
        mel = self._mel([c.numpy() for c in clips], sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")["input_features"]
        encoded = self.model.model.encoder(mel).last_hidden_state
        prefix = [self._id("<|startoftranscript|>"), *([self._id(f"<|{language}|>"), self._id(f"<|{task}|>")] if self.multilingual else []), self._id("<|notimestamps|>")]
        end, first_special = self._id("<|endoftext|>"), self._id("<|endoftext|>")
        ids = torch.tensor([prefix] * len(clips))
        rows: list[list[int]] = [[] for _ in clips]
        log_probs: list[list[float]] = [[] for _ in clips]
        open_rows = [True] * len(clips)
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        step = ids
        for number in range(MAX_IDS):
            hidden = self.model.model.decoder(input_ids=step, encoder_hidden_states=encoded, cache=cache, use_cache=True).last_hidden_state[:, -1]
            scores: Tensor = self.model.proj_out(hidden)
            scores[:, self.suppressed + (self.suppressed_first if number == 0 else [])] = float("-inf")
            scores[:, first_special + 1 :] = float("-inf")
            likely, best = scores.log_softmax(-1).max(-1)
            for row, (index, log_prob) in enumerate(zip(best.tolist(), likely.tolist(), strict=True)):
                if open_rows[row]:
                    log_probs[row].append(log_prob)
                if open_rows[row] and index != end:
                    rows[row].append(index)
                else:
                    open_rows[row] = False
            if not any(open_rows):
                break
            step = best[:, None]
        return [(self.tokenizer.decode(row).strip(), values) for row, values in zip(rows, log_probs, strict=True)]

    def _id(self, token: str) -> int:
        index = self.tokenizer.token_to_id(token)
        if index is None:
            raise AlmError(f"got token {token!r}", "a token of this recognizer", "use a language that Whisper knows")
        return int(index)


def load_recognizer(options: WhisperRecognizerOptions, context: LoadContext) -> WhisperRecognizer:
    """A recognizer from packages with a CTranslate2 model, or from a transformers folder; one a process for each source."""
    return _load(context.folders(options.weights), whisper_recognizer_card(options, context))


@lru_cache(maxsize=2)
def _load(folders: tuple[Path, ...], card: RecognizerCard) -> WhisperRecognizer:
    parts = sorted(path for folder in folders for path in folder.rglob("model.bin*"))
    root = parts[0].parent if parts else folders[0]
    if parts:
        state = ctranslate2.whisper_state_dict(ctranslate2.read_variables(parts))
        model = WhisperForConditionalGeneration(whisper_config(state))
        model.load_state_dict(state)
        config = json.loads((root / "config.json").read_text())
        suppressed, first = config["suppress_ids"], config["suppress_ids_begin"]
    else:
        model = WhisperForConditionalGeneration.from_pretrained(root)
        suppressed, first = list(model.generation_config.suppress_tokens or []), list(model.generation_config.begin_suppress_tokens or [])
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return WhisperRecognizer(model, Tokenizer.from_file(str(root / "tokenizer.json")), [i for i in suppressed if i >= 0], first, card)
