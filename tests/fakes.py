"""One tiny fake per interface: real behaviour on a small scale, no weights, no files."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from alm.api.cards import BackboneCard, TokenizerCard, VocoderCard
from alm.api.testing import test_text_tokenizer
from alm.api.types import Audio, Units
from alm.components.backbones.causal import CausalBackbone
from alm.components.encoders.frames import check_audio
from alm.components.vocoders.inputs import check_units, speaker_row


class FakeTokenizer:
    """The loudness of each 40 ms, in steps: K codebooks that differ by a shift."""

    def __init__(self, codebooks: int = 1, vocabulary_size: int = 8, fingerprint: str = "fake-loudness") -> None:
        self.card = TokenizerCard(16_000, 25.0, vocabulary_size, codebooks, fingerprint=fingerprint)

    def encode(self, audio):
        results = []
        for clip in audio:
            check_audio(clip, 16_000, "tokenizer 'fake'", 640)
            frames = clip.samples[0, : clip.num_samples // 640 * 640].reshape(-1, 640)
            loudness = (frames.abs().mean(1) * 20).long()
            codes = torch.stack([(loudness + k) % self.card.vocabulary_size for k in range(self.card.codebooks)])
            results.append(Units(codes, 25.0, self.card.fingerprint))
        return results

    def save(self, folder):
        folder.mkdir(parents=True, exist_ok=True)


class FakeVocoder:
    """A tone as loud as the unit."""

    def __init__(self, tokenizer: TokenizerCard) -> None:
        self.card = VocoderCard(16_000, tokenizer.frame_rate_hz, tokenizer.vocabulary_size, tokenizer.codebooks, tokenizer.fingerprint, ("anna", "ben"))

    def synthesize(self, units, speakers):
        clips = []
        for clip, speaker in zip(units, speakers, strict=True):
            check_units(self.card, clip)
            pitch_hz = 200 + 100 * speaker_row(self.card, speaker)
            loudness = clip.codes[0].float().repeat_interleave(640) / self.card.vocabulary_size
            tone = torch.sin(2 * torch.pi * pitch_hz * torch.arange(len(loudness)) / 16_000)
            clips.append(Audio((loudness * tone)[None], 16_000))
        return clips

    def save(self, folder):
        folder.mkdir(parents=True, exist_ok=True)


def fake_backbone(hidden_size: int = 32, seed: int = 0) -> CausalBackbone:
    """A random Llama of two layers."""
    torch.manual_seed(seed)
    text = test_text_tokenizer()
    config = LlamaConfig(
        vocab_size=len(text), hidden_size=hidden_size, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=512, tie_word_embeddings=True
    )
    return CausalBackbone(LlamaForCausalLM(config), text, BackboneCard(hidden_size, 512))
