"""One spelling for training, scoring and comparing text. Knows characters and number words, nothing of models.

Scores depend on spelling rules as much as on models, so the rules live in one function that every metric and every
text-training recipe calls. In the manner of the Whisper paper's normalizer (arXiv 2212.04356, appendix C), reduced to
what is the same in every language: case, punctuation, numbers, and optionally accents.
"""

import re
import textwrap
import unicodedata

from alm.api.types import Mark, Marks

NUMBER = re.compile(r"\d+")
NOT_WORD = re.compile(r"[^\w\s']|_")
BREAKS = (re.compile(r"(?<=[.!?…])\s+"), re.compile(r"(?<=[;:])\s+|\s+(?=[-–—]\s)"), re.compile(r"(?<=,)\s+"))  # from the strongest


def normalize_text(text: str, language: str, *, accents: bool = True) -> str:
    """Lower-cases, spells digits out, drops punctuation and folds white space.

    Args:
        text: any Unicode text.
        language: ISO 639-1 code; digits are spelt in it. Left as digits where num2words does not know the language.
        accents: False also strips combining marks ("número" -> "numero"), for corpora that spell without them.

    Returns:
        Words separated by single spaces; the empty string if no word is left.
    """
    text = unicodedata.normalize("NFKC", text).lower().replace("’", "'").replace("`", "'")
    text = NUMBER.sub(lambda match: f" {_spell(match.group(), language)} ", text)
    text = NOT_WORD.sub(" ", text)
    if language != "fr" and language != "it":
        text = re.sub(r"(?<!\w)'|'(?!\w)", " ", text)
    if not accents:
        marks = (c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c) or c == "\u0306")
        text = unicodedata.normalize("NFC", "".join(marks)).replace("ё", "е")
    return " ".join(text.split())


MARK = re.compile(r"<(\d+\.\d\d)>([^<]*)<(\d+\.\d\d)>")


def marks_text(marks: Marks) -> str:
    """`<0.12> press <0.40> <0.52> one <0.80>`: each mark between its start and its end in seconds."""
    return " ".join(f"<{mark.start_s:.2f}> {mark.text.replace('<', '')} <{mark.stop_s:.2f}>" for mark in marks)


def read_marks(text: str) -> Marks:
    """The marks of such a text; what is no mark is left out."""
    return tuple(Mark(found[2].strip(), float(found[1]), float(found[3])) for found in MARK.finditer(text))


def clauses(text: str, max_characters: int) -> list[str]:
    """Cuts a text into pieces that can be said with a pause between them, each as long as the limit lets it be.

    A piece that is too long is cut at the ends of its sentences, then at semicolons, colons and dashes, then at commas, and
    last, for want of punctuation, between words. A single longer word stays whole.
    """
    if len(text) <= max_characters:
        return [text]
    for pattern in BREAKS:
        parts = [part for part in pattern.split(text) if part.strip()]
        if len(parts) > 1:
            return _packed([piece for part in parts for piece in clauses(part, max_characters)], max_characters)
    width = -(-len(text) // -(-len(text) // max_characters))  # lines of about the same length
    lines = textwrap.wrap(text, min(max_characters, width + 8), break_long_words=False, break_on_hyphens=False)
    return lines or [text]


def _packed(pieces: list[str], max_characters: int) -> list[str]:
    """Neighbours joined where they fit together."""
    packed = [pieces[0]]
    for piece in pieces[1:]:
        if len(packed[-1]) + 1 + len(piece) <= max_characters:
            packed[-1] += f" {piece}"
        else:
            packed.append(piece)
    return packed


def _spell(digits: str, language: str) -> str:
    from num2words import num2words  # imported here: alm.api stays light

    try:
        return str(num2words(int(digits), lang=language)).replace("-", " ").replace(",", " ")
    except (NotImplementedError, OverflowError, KeyError, ValueError):  # no such language; too long a number for num2words or for int
        return digits
