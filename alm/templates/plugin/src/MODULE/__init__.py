"""A plugin for alm. Registering imports nothing heavy; the tokenizer is in tokenizer.py."""

from pathlib import Path

from alm.api.cards import TaskCard, TokenizerCard
from alm.api.hookspecs import hookimpl

ALM_PLUGIN_API = (1, 1)
CARD = TokenizerCard(sample_rate_hz=16_000, frame_rate_hz=25.0, vocabulary_size=32, fingerprint="NAME-loudness-1")


def load_tokenizer(options, context):
    from MODULE.tokenizer import LoudnessTokenizer

    return LoudnessTokenizer(CARD)


@hookimpl
def register_tokenizers(register):
    register("NAME-loudness", load_tokenizer, CARD)


@hookimpl
def register_tasks(register):
    register("PARROT", card=TaskCard("PARROT", ("source.text",), ("source.text",), ("cer",), "say the text again"))


@hookimpl
def register_recipes(register):
    register(Path(__file__).parent / "recipes")
