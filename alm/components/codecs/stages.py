"""How the decoders of codecs are cut into stages, so that they speak while codes come: what has a memory of all that was by itself
(EnCodec's LSTM, Mimi's transformer), convolutions before and behind it. See frames, no clips.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import DynamicCache

from alm.components.codecs.cards import decoder_reach
from alm.components.vocoders.streaming import Stage


def dac_stages(model: Any) -> list[Stage]:
    before, behind = decoder_reach(model.config.to_dict())[-1]

    def decoded(codes: Tensor) -> Tensor:
        return model.decoder(model.quantizer.from_codes(_books(codes)[None])[0]).flatten()

    return [Stage(decoded, before, behind, model.config.hop_length)]


def encodec_stages(model: Any) -> list[Stage]:
    first, last = decoder_reach(model.config.to_dict())
    entrance, lstm, *rest = model.decoder.layers
    state: list[Any] = [None]

    def entered(codes: Tensor) -> Tensor:
        return entrance(model.quantizer.decode(_books(codes)[:, None]))[0].T

    def remembered(frames: Tensor) -> Tensor:
        output, state[0] = lstm.lstm(frames[:, None], state[0])
        return output[:, 0] + frames

    def decoded(frames: Tensor) -> Tensor:
        return _through(rest, frames)

    return [Stage(entered, *first), Stage(remembered, 0, 0), Stage(decoded, *last, model.config.hop_length)]


def mimi_stages(model: Any) -> list[Stage]:
    first, last = decoder_reach(model.config.to_dict())
    decoder, cache = model.decoder, DynamicCache(config=model.decoder.decoder_transformer.config)
    stride = decoder.upsample.conv.stride[0] if decoder.upsample is not None else 1

    def entered(codes: Tensor) -> Tensor:
        latents = model.quantizer.decode(_books(codes)[None])
        return (latents if decoder.upsample is None else decoder.upsample(latents))[0].T

    def attended(frames: Tensor) -> Tensor:
        return decoder.decoder_transformer(frames[None], cache=cache, use_cache=True).last_hidden_state[0]

    def decoded(frames: Tensor) -> Tensor:
        return _through(decoder.decoder_seanet.layers, frames)

    hop = round(model.config.sampling_rate / model.config.frame_rate)
    return [Stage(entered, *first, stride), Stage(attended, 0, 0), Stage(decoded, *last, hop // stride)]


def _books(codes: Tensor) -> Tensor:
    """[F, K], or [F] of one codebook -> [K, F]"""
    return codes.reshape(len(codes), -1).T


def _through(layers: Any, frames: Tensor) -> Tensor:
    """[F, D] -> [T]"""
    hidden = frames.T[None]
    for layer in layers:
        hidden = layer(hidden)
    return hidden.flatten()


STAGES = {"dac": dac_stages, "encodec": encodec_stages, "mimi": mimi_stages}
