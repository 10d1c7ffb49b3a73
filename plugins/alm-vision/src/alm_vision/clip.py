"""Pictures -> patches of pixels -> CLIP's vision transformer -> Yi-VL's projection (arXiv 2103.00020, 2403.04652).

The features are the pixels; the network stands in the projector, so that it is trained with the language model or rests (`train.options.freeze`).
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from pathlib import Path
from typing import Any

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPVisionConfig, CLIPVisionModel

from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.api.types import Features
from alm_vision.cards import ClipOptions, clip_card

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of CLIP's training pictures


class ClipEncoder:
    """See the module."""

    def __init__(self, options: ClipOptions, context: LoadContext) -> None:
        self.options, self.context, self.card = options, context, clip_card(options, context)

    @property
    def patch_size(self) -> int:
        return round((self.card.feature_size / 3) ** 0.5)

    def encode(self, given: Many[Path | Image.Image]) -> list[Features]:
        """Patches of each picture, row by row, [P, 3 x side x side].

        Raises:
            AlmError: a file that holds no picture.
        """
        return [Features(self._patches(self._pixels(picture)), 0.0, self.card.fingerprint, modality="image") for picture in given]

    def _pixels(self, picture: Path | Image.Image) -> Tensor:
        """[3, S, S], normalized; a picture that is not square has margins of CLIP's mean colour."""
        if isinstance(picture, Path):
            try:
                picture = Image.open(picture)
                picture.load()
            except (OSError, UnidentifiedImageError) as error:
                raise AlmError(f"got {picture}, which holds no picture ({error})", "a picture, such as PNG or JPEG", "check the file") from error
        side = max(picture.size)
        square = Image.new("RGB", (side, side), tuple(round(255 * value) for value in MEAN))
        square.paste(picture.convert("RGB"), ((side - picture.width) // 2, (side - picture.height) // 2))
        resized = square.resize((self.options.image_size, self.options.image_size), Image.Resampling.BICUBIC)
        pixels = torch.frombuffer(bytearray(resized.tobytes()), dtype=torch.uint8).view(resized.height, resized.width, 3).permute(2, 0, 1) / 255
        return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]

    def _patches(self, pixels: Tensor) -> Tensor:
        return F.unfold(pixels[None], self.patch_size, stride=self.patch_size)[0].T.contiguous()

    def build_projector(self, hidden_size: int) -> nn.Module:
        options = self.options
        if options.weights:
            network = CLIPVisionModel.from_pretrained(self.context.folders(options.weights)[0], dtype=torch.float32)
        else:
            size = options.hidden_size
            network = CLIPVisionModel(
                CLIPVisionConfig(
                    hidden_size=size,
                    intermediate_size=4 * size,
                    num_hidden_layers=options.layers,
                    num_attention_heads=options.heads,
                    image_size=options.base_size,
                    patch_size=options.patch_size,
                )
            )
        return ClipProjector(network, self.options, self.patch_size, hidden_size)


class ClipProjector(nn.Module):
    """The vision transformer, then two layers with norms.

    Attributes:
        network: the transformer.
        projector: what follows it.
    """

    def __init__(self, network: Any, options: ClipOptions, patch_size: int, hidden_size: int) -> None:
        super().__init__()
        width = network.config.hidden_size
        self.options, self.patch_size = options, patch_size
        self.network = network
        self.projector = nn.Sequential(nn.Linear(width, hidden_size), nn.LayerNorm(hidden_size), nn.GELU(), nn.Linear(hidden_size, hidden_size), nn.LayerNorm(hidden_size))

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """values [B, P, 3 x side x side], mask [B, P] -> [B, P, hidden_size]."""
        size = self.options.image_size
        pixels = F.fold(values.transpose(1, 2), (size, size), self.patch_size, stride=self.patch_size)
        states = self.network(pixels, output_hidden_states=True, interpolate_pos_encoding=True).hidden_states[self.options.layer]
        return self.projector(states[:, 1:])  # the first is the whole picture's


def load_clip(options: ClipOptions, context: LoadContext) -> ClipEncoder:
    return ClipEncoder(options, context)
