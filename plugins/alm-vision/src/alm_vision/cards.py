"""Options, cards and tasks. Read before anything loads, so it imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass

from alm.api.cards import EncoderCard, PromptFormatCard, TaskCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext

YI_VL_CARD = PromptFormatCard(inputs=("image", "text"), outputs=("text",), asks_in_words=True, combines=False, source="arXiv 2403.04652")
TASKS = (
    TaskCard(
        "VQA",
        ("source.media.image", "source.label.question"),
        ("source.label.answer",),
        ("accuracy",),
        "visual question answering",
        ("Answer the question about the picture.", "Look at the picture and answer."),
    ),
    TaskCard("PICTURE", ("source.media.image",), ("source.text",), ("cider", "rouge_l"), "picture captioning", ("Describe the picture.", "What is there to see?")),
)


@dataclass(frozen=True)
class YiVlOptions:
    """Attributes:
    system: what stands before every conversation.
    """

    system: str = ""


@dataclass(frozen=True)
class ClipOptions:
    """Attributes:
    weights: weight source of a transformers CLIP or CLIP vision checkpoint; "" starts from random weights of the sizes below.
    image_size: pixels of a side to which pictures are brought; another one than the network was made for interpolates its positions, as Yi-VL
        does between its stages (224, then 448).
    layer: whose output is taken; -2 is the last but one.
    base_size, patch_size, hidden_size, layers, heads: of a network with random weights; `base_size` is the image_size that it is made for.
    """

    weights: str = ""
    image_size: int = 224
    layer: int = -2
    base_size: int = 224
    patch_size: int = 14
    hidden_size: int = 64
    layers: int = 2
    heads: int = 4


def clip_card(options: ClipOptions, context: LoadContext) -> EncoderCard:
    """
    Raises:
        AlmError: weights of another model, or a size that is no multiple of the patches'.
    """
    patch = options.patch_size
    if options.weights:
        path = context.folders(options.weights)[0] / "config.json"
        config = json.loads(path.read_text()) if path.is_file() else {}
        config = config.get("vision_config", config)
        if "patch_size" not in config:
            raise AlmError(f"got weights {options.weights!r}", "a transformers CLIP checkpoint", "check the folder")
        patch = config["patch_size"]
    if options.image_size < patch or options.image_size % patch:
        raise AlmError(f"got image_size {options.image_size}", f"a multiple of {patch}, the side of a patch", "correct it")
    return EncoderCard(
        sample_rate_hz=0, frame_rate_hz=0.0, feature_size=3 * patch * patch, fingerprint=f"pixels-{options.image_size}-{patch}", source="arXiv 2103.00020", reads="image"
    )
