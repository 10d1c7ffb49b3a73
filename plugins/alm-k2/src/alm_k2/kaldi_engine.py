"""Compiles with kaldifst and decodes with kaldi-decoder, for alm's search `kaldi`. Best path alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import kaldi_decoder
import kaldifst

from alm_k2 import graphs


class Reading(NamedTuple):
    """As alm_k2.numerics.Reading."""

    words: list[int]
    score: float
    acoustic: float
    language: float


def compile_graph(classes: int, lexicon: str, grammar: str, back_off: int, back_off_word: int) -> Any:
    """H, L and G as one graph, frames -> words; arguments as alm_k2.numerics.compile_graph."""
    left, right = kaldifst.compile(lexicon, acceptor=False), kaldifst.compile(grammar, acceptor=False)
    kaldifst.arcsort(left, sort_type="olabel")
    kaldifst.arcsort(right, sort_type="ilabel")
    both = kaldifst.compose(left, right)
    kaldifst.determinize_star(both)
    kaldifst.minimize_encoded(both)
    both = kaldifst.compile(_relabelled(str(both), back_off, back_off_word), acceptor=False)
    kaldifst.rmepsilon(both)
    kaldifst.arcsort(both, sort_type="ilabel")
    frames = kaldifst.compile(graphs.topology(classes), acceptor=False)
    kaldifst.arcsort(frames, sort_type="olabel")
    return kaldifst.compose(frames, both)


def _relabelled(text: str, back_off: int, back_off_word: int) -> str:
    """A transducer in which the back-off symbol is epsilon on both sides."""
    lines = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) > 2:
            fields[2] = "0" if fields[2] == str(back_off) else fields[2]
            fields[3] = "0" if fields[3] == str(back_off_word) else fields[3]
        lines.append(" ".join(fields))
    return "\n".join(lines) + "\n"


def decode(log_probs: list[Any], graph: Any, options: Any) -> list[list[Reading]]:
    """The best reading of each clip; none where no path was left."""
    decoder = kaldi_decoder.FasterDecoder(graph, kaldi_decoder.FasterDecoderOptions(beam=options.beam, max_active=options.max_active))
    found: list[list[Reading]] = []
    for clip in log_probs:
        decoder.decode(kaldi_decoder.DecodableCtc(clip.numpy()))
        there, path = decoder.get_best_path() if decoder.reached_final() else (False, None)
        if not there:
            found.append([])
            continue
        _, _, words, weight = kaldifst.get_linear_symbol_sequence(path)
        language, acoustic = -weight.value1, -weight.value2
        found.append([Reading([word for word in words if word], language + acoustic, acoustic, language)])
    return found
