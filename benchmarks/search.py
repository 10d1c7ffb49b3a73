"""Searches over CTC posteriors: alm's torch beam against flashlight-text and kaldi-decoder, on one core, on the same posteriors of real clips."""

from __future__ import annotations

import tempfile
from pathlib import Path

import jiwer
import torch
from measure import Bench, Row, row, timed_in_turn

import alm
from alm.components.language_models.ngram import estimate, read_arpa, write_arpa
from alm.components.searches.cards import BeamOptions
from alm.components.searches.ctc import CtcBeam

BEAM, SILENCE = 16, 0.0
NARROWER = (2, 4, 8, 16)
WEIGHT, BONUS = 0.5, 1.0


def search(bench: Bench) -> list[Row]:
    """Without a language model beam 16 against flashlight's lexicon-free decoder of the same beam; with the trigram of the training texts
    against kaldi-decoder on a graph of the same trigram, whose words are all that it can read: beam 16, and the narrowest beam that errs no more."""
    from alm_k2.cards import GraphOptions
    from alm_k2.searches import load_kaldi
    from flashlight.lib.text.decoder import CriterionType, LexiconFreeDecoder, LexiconFreeDecoderOptions, ZeroLM

    recognizer = alm.load("prompts-reader").recognizer
    spoken = [u for u in recognizer.parts.utterances("test") if u.language == "en" and u.audio is not None and u.text]
    heard = recognizer.hear([alm.read_audio(u.audio) for u in spoken if u.audio is not None])
    labels, texts = recognizer.labels, [recognizer.wording.written(u.text, "en") for u in spoken]
    total_s = sum(len(clip) for clip in heard) / recognizer.encoder.card.frame_rate_hz
    sentences = sorted({recognizer.wording.written(u.text, "en") for u in recognizer.parts.utterances("train") if u.language == "en" and u.text})
    classes = len(labels.names) + 1
    options = LexiconFreeDecoderOptions(BEAM, BEAM, 15.0, 0.0, SILENCE, True, CriterionType.CTC)
    flashlight = LexiconFreeDecoder(options, ZeroLM(), -1, 0, [])
    plain, fused = CtcBeam(BeamOptions(beam=BEAM, candidates=BEAM)), _fused(BEAM)
    contiguous = [clip.contiguous() for clip in heard]

    def by_flashlight() -> list[str]:
        read = []
        for clip in contiguous:
            path = torch.tensor(flashlight.decode(clip.data_ptr(), len(clip), classes)[0].tokens)
            read.append(labels.text([c for c in torch.unique_consecutive(path).tolist() if c > 0]))
        return read

    with tempfile.TemporaryDirectory() as folder:
        write_arpa(estimate(sentences, 3), Path(folder) / "lm.arpa")
        trigram = read_arpa(Path(folder) / "lm.arpa")
        kaldi = load_kaldi(GraphOptions(weight=WEIGHT, word_bonus=BONUS, beam=15.0), None)  # type: ignore[arg-type]
        readers = {
            "ctc-beam": lambda: [found[0].text for found in plain.search(heard, labels)],
            "flashlight": by_flashlight,
            "ctc-beam+lm": lambda: [found[0].text for found in fused.search(heard, labels, trigram)],
            "kaldi": lambda: [found[0].text for found in kaldi.search(heard, labels, trigram)],
        }
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        wer = {name: 100 * jiwer.wer(texts, read()) for name, read in readers.items()}
        for beam in NARROWER:
            readers["ctc-beam+lm-narrow"] = lambda beam=beam: [found[0].text for found in _fused(beam).search(heard, labels, trigram)]
            wer["ctc-beam+lm-narrow"] = 100 * jiwer.wer(texts, readers["ctc-beam+lm-narrow"]())
            if wer["ctc-beam+lm-narrow"] <= wer["kaldi"]:
                break
        seconds = dict(zip(readers, timed_in_turn(*readers.values()), strict=True))
        torch.set_num_threads(threads)
    rows = []
    graph = "kaldi-decoder on a graph of the same trigram"
    pairs = (
        ("ctc-beam", "flashlight", "flashlight-text, lexicon-free, the same beam"),
        ("ctc-beam+lm", "kaldi", graph),
        ("ctc-beam+lm-narrow", "kaldi", f"{graph}; alm's beam of {beam}"),
    )
    for mine, peer, what in pairs:
        rows.append(row(f"search/{mine}/throughput", "s of speech per s, one core", total_s, seconds[mine], what, seconds[peer], len(heard)))
        rows.append(Row(f"search/{mine}/wer", round(wer[mine], 2), "% of words", what, round(wer[peer], 2), round(wer[peer] / wer[mine], 2), len(heard)))
    return rows


def _fused(beam: int) -> CtcBeam:
    return CtcBeam(BeamOptions(beam=beam, candidates=beam, weight=WEIGHT, word_bonus=BONUS))
