"""Reads Whisper weights in CTranslate2's `model.bin` (version 6). Knows the file format and the renaming, no audio.

The format is little-endian: u32 version, string spec, u32 revision, u32 count; per variable: name, u8 rank, u32 sizes,
u8 type, u32 bytes, data; then u32 aliases. A string is a u16 size and zero-terminated bytes. Layer names map one to one
on transformers' WhisperForConditionalGeneration; attention projections are stacked and are split here.
"""

import io
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alm.api.errors import AlmError

DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
SUPPORTED_VERSION = 6


def read_variables(parts: Sequence[Path]) -> dict[str, np.ndarray]:
    """Variables of a model.bin, given whole or in parts that belong together in this order.

    Raises:
        AlmError: another version, or a file that ends early.
    """
    file = io.BytesIO(b"".join(part.read_bytes() for part in parts))

    def number(kind: str) -> int:
        return struct.unpack("<" + kind, file.read(struct.calcsize("<" + kind)))[0]

    def string() -> str:
        return file.read(number("H"))[:-1].decode()

    names = ", ".join(str(part) for part in parts)
    try:
        version, _spec, _revision = number("I"), string(), number("I")
        if version != SUPPORTED_VERSION:
            raise AlmError(f"{names}: CTranslate2 format version {version}", "version 6", "convert the model anew")
        variables: dict[str, np.ndarray] = {}
        for _ in range(number("I")):
            name = string()
            shape = [number("I") for _ in range(number("B"))]
            dtype = DTYPES[number("B")]
            variables[name] = np.frombuffer(file.read(number("I")), dtype).reshape(shape)
        for _ in range(number("I")):
            alias, target = string(), string()
            variables[alias] = variables[target]
    except (struct.error, ValueError, KeyError) as error:
        raise AlmError(f"{names} is truncated or not a CTranslate2 model ({error})", "a whole model.bin", "reinstall the package that carries it") from error
    return variables


def whisper_state_dict(variables: dict[str, np.ndarray], sides: Sequence[str] = ("encoder", "decoder")) -> dict[str, Tensor]:
    """Renames CTranslate2's Whisper variables to the state dict of transformers' WhisperForConditionalGeneration; only the
    encoder's or the decoder's if `sides` names one."""
    state: dict[str, Tensor] = {}

    def put(name: str, array: np.ndarray) -> None:
        state[name] = torch.from_numpy(array.astype(np.float32))

    def norm(source: str, target: str) -> None:
        put(f"{target}.weight", variables[f"{source}/gamma"])
        put(f"{target}.bias", variables[f"{source}/beta"])

    def linear(source: str, *targets: str) -> None:
        weights = np.split(variables[f"{source}/weight"], len(targets))
        biases = np.split(variables[f"{source}/bias"], len(targets))
        for target, weight, bias in zip(targets, weights, biases, strict=True):
            put(f"{target}.weight", weight)
            if not target.endswith("k_proj"):  # Whisper's keys have no bias
                put(f"{target}.bias", bias)

    def self_attention(source: str, target: str) -> None:
        linear(f"{source}/linear_0", f"{target}.q_proj", f"{target}.k_proj", f"{target}.v_proj")
        linear(f"{source}/linear_1", f"{target}.out_proj")

    if "encoder" in sides:
        for conv in ("conv1", "conv2"):
            put(f"model.encoder.{conv}.weight", variables[f"encoder/{conv}/weight"])
            put(f"model.encoder.{conv}.bias", variables[f"encoder/{conv}/bias"])
    if "decoder" in sides:
        put("model.decoder.embed_tokens.weight", variables["decoder/embeddings/weight"])
        state["proj_out.weight"] = state["model.decoder.embed_tokens.weight"]
    for side in sides:
        put(f"model.{side}.embed_positions.weight", variables[f"{side}/position_encodings/encodings"])
        norm(f"{side}/layer_norm", f"model.{side}.layer_norm")
        layer = 0
        while f"{side}/layer_{layer}/ffn/linear_0/weight" in variables:
            source, target = f"{side}/layer_{layer}", f"model.{side}.layers.{layer}"
            norm(f"{source}/self_attention/layer_norm", f"{target}.self_attn_layer_norm")
            self_attention(f"{source}/self_attention", f"{target}.self_attn")
            if side == "decoder":
                norm(f"{source}/attention/layer_norm", f"{target}.encoder_attn_layer_norm")
                linear(f"{source}/attention/linear_0", f"{target}.encoder_attn.q_proj")
                linear(f"{source}/attention/linear_1", f"{target}.encoder_attn.k_proj", f"{target}.encoder_attn.v_proj")
                linear(f"{source}/attention/linear_2", f"{target}.encoder_attn.out_proj")
            norm(f"{source}/ffn/layer_norm", f"{target}.final_layer_norm")
            linear(f"{source}/ffn/linear_0", f"{target}.fc1")
            linear(f"{source}/ffn/linear_1", f"{target}.fc2")
            layer += 1
    return state
