"""What every vocoder asks of its input: its own tokenizer's units, and a speaker that it knows. Makes no sound."""

from __future__ import annotations

from torch import Tensor

from alm.api.cards import VocoderCard
from alm.api.errors import AlmError, UnknownNameError, VocabularyMismatchError
from alm.api.types import Audio, Speaker, Units


def check_units(card: VocoderCard, units: Units) -> None:
    """Refuses units of another tokenizer.

    Raises:
        VocabularyMismatchError: another fingerprint or number of codebooks.
        AlmError: no unit at all, or codes outside the vocabulary.
    """
    if units.fingerprint != card.units_fingerprint or units.codes.shape[0] != card.codebooks:
        raise VocabularyMismatchError(
            f"got units of codebook {units.fingerprint or '(untrained)'}",
            f"units of codebook {card.units_fingerprint or '(untrained)'}, for which this vocoder was made",
            "use the tokenizer it was trained with, or train a vocoder for this one",
        )
    if not units.num_frames:
        raise AlmError("got no units to speak", "at least one", "check what the model emitted")
    if int(units.codes.min()) < 0 or int(units.codes.max()) >= card.vocabulary_size:
        raise AlmError(f"got codes between {int(units.codes.min())} and {int(units.codes.max())}", f"0 to {card.vocabulary_size - 1}", "tokenize again")


def speaker_row(card: VocoderCard, name: Speaker) -> int:
    """The row of a speaker; "" is the first one.

    Raises:
        UnknownNameError: a speaker that is not on the card.
        AlmError: a recording.
    """
    if isinstance(name, Audio):
        raise AlmError("got a recording for a speaker", f"a name, such as {card.speakers[0]!r}" if card.speakers else "no speaker", "train a unit-vocos with `voice_prompt: true`")
    if not name:
        return 0
    if name not in card.speakers:
        raise UnknownNameError(f"got speaker {name!r}", "a speaker of the vocoder", f"one of: {', '.join(card.speakers)}")
    return card.speakers.index(name)


def speaker_rows(own: Tensor, card: VocoderCard, trained: Tensor | None, trained_card: VocoderCard) -> Tensor:
    """A table of speakers [S, D] with the rows of those that a trained one [S', D] knows by the same name."""
    rows = own.clone()
    for row, name in enumerate(card.speakers):
        if trained is not None and name in trained_card.speakers:
            rows[row] = trained[trained_card.speakers.index(name)]
    return rows


def spoken_codes(units: Units) -> Tensor:
    """Codes of the first codebook, repeats restored by their durations. [F]"""
    return units.codes[0] if units.durations is None else units.codes[0].repeat_interleave(units.durations)
