"""One conformance check per interface: what a plugin author runs against their own part.

Each check raises AssertionError that says what was expected; each runs on CPU, offline, on a second of synthetic sound
unless clips are given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence as Many
from dataclasses import replace
from pathlib import Path
from typing import Any

from alm.api import cards
from alm.api.errors import AlmError
from alm.api.interfaces import FollowingDecoder, PreferenceCorpus, SampleCorpus, StreamingVocoder
from alm.api.types import Audio, Emit, Mark, Sample, Segment, Sequence, Turn, Units, Utterance

STREAM_TOLERANCE = 1e-5  # largest difference between a sample made in pieces and at once
BATCH_TOLERANCE = 1e-4  # largest difference between a feature made in a batch and alone, as a share of the largest feature where that is above 1


def test_clips(sample_rate_hz: int) -> list[Audio]:
    """Four clips of different lengths: tones, a sweep, noise."""
    import torch

    generator = torch.Generator().manual_seed(0)
    clips = []
    for number, duration_s in enumerate((0.5, 1.0, 1.7, 0.81)):
        t = torch.arange(int(duration_s * sample_rate_hz)) / sample_rate_hz
        tone = 0.3 * torch.sin(2 * math.pi * (150 + 100 * number) * t * (1 + 0.2 * t))
        clips.append(Audio((tone + 0.02 * torch.randn(t.shape, generator=generator))[None], sample_rate_hz))
    return clips


def test_text_tokenizer() -> Any:
    """Bytes as ids, a token for padding and one for the end: a transformers tokenizer without a file."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<pad>": 0, "<end>": 1} | {c: i + 2 for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<pad>")


def test_vocabulary(prompt: Any) -> Any:
    """Bytes, eight units and the tags of a prompt format."""
    from alm.api.vocabulary import JointVocabulary

    units = cards.TokenizerCard(16_000, 25, 8, fingerprint="units of a test")
    return JointVocabulary(test_text_tokenizer(), units, tags=prompt.card.added_tags, unit_token=prompt.card.unit_token)


test_clips.__test__ = test_text_tokenizer.__test__ = test_vocabulary.__test__ = False  # type: ignore[attr-defined]  # helpers, not tests for pytest to collect


def check_tokenizer(tokenizer: Any, clips: Many[Audio] | None = None) -> None:
    """Shapes, ranges, rate, fingerprint; the same units alone and in a batch; wrong rate refused."""
    import torch

    card = tokenizer.card
    assert isinstance(card, cards.TokenizerCard), f"card is {type(card).__name__}, expected TokenizerCard"
    assert card.fingerprint, "a trained tokenizer has a fingerprint"
    clips = clips or test_clips(card.sample_rate_hz)
    together = tokenizer.encode(clips)
    assert len(together) == len(clips), f"{len(together)} results for {len(clips)} clips"
    for number, (clip, units) in enumerate(zip(clips, together, strict=True)):
        assert isinstance(units, Units) and units.codes.shape[0] == card.codebooks, f"codes {tuple(units.codes.shape)}, card says {card.codebooks} codebooks"
        assert int(units.codes.min()) >= 0 and int(units.codes.max()) < card.vocabulary_size, "codes outside the card's vocabulary"
        assert units.fingerprint == card.fingerprint and units.frame_rate_hz == card.frame_rate_hz, "units do not carry the card's fingerprint and rate"
        assert (units.durations is not None) == card.merges_repeats, "durations and card.merges_repeats disagree"
        frames = units.num_frames if units.durations is None else int(units.durations.sum())
        assert abs(frames - clip.duration_s * card.frame_rate_hz) <= 2, f"{frames} frames for {clip.duration_s:.2f} s at {card.frame_rate_hz:g} Hz"
        alone = tokenizer.encode([clip])[0]
        assert torch.equal(alone.codes, units.codes), f"clip {number} has other units alone than in a batch"
    _refuses(lambda: tokenizer.encode([clips[0].resample(card.sample_rate_hz // 2)]), "audio of another rate")


def check_encoder(encoder: Any, clips: Many[Audio] | None = None) -> None:
    """Shapes and rate; the same features alone and in a batch; the projector makes the promised number of slots."""
    import torch

    card = encoder.card
    assert isinstance(card, cards.EncoderCard), f"card is {type(card).__name__}, expected EncoderCard"
    assert clips or card.reads == "audio", f"an encoder that reads {card.reads} is checked on examples of it"
    clips = clips or test_clips(card.sample_rate_hz)
    together = encoder.encode(clips)
    projector = encoder.build_projector(24)
    labels = getattr(projector, "text_labels", None)
    rows = () if labels is None else (torch.randn(len(labels), 24),)
    for clip, features in zip(clips, together, strict=True):
        assert features.values.shape[1] == card.feature_size, f"features {tuple(features.values.shape)}, card says {card.feature_size}"
        most = clip.duration_s * card.frame_rate_hz if card.reads == "audio" else 0.0
        if card.reads != "audio":
            assert features.modality == card.reads, f"features of {features.modality}, card reads {card.reads}"
        elif card.merges_frames:
            assert 1 <= features.num_frames <= most + 2, f"{features.num_frames} frames, at most {most:.0f} by the card's rate"
        else:
            assert abs(features.num_frames - most) <= 2, "frame count does not fit the card's rate"
        alone = encoder.encode([clip])[0].values
        largest, difference = float(alone.abs().max()), float((alone - features.values).abs().max())
        assert difference <= BATCH_TOLERANCE * max(1.0, largest), f"features alone differ from features in a batch by {difference:.2g}; the largest is {largest:.2g}"
        slots = projector(features.values[None], torch.ones(1, features.num_frames, dtype=torch.bool), *rows)
        assert slots.shape == (1, features.num_slots, 24), f"projector gave {tuple(slots.shape)}, expected {(1, features.num_slots, 24)}"
    if card.reads == "audio":
        _refuses(lambda: encoder.encode([clips[0].resample(card.sample_rate_hz // 2)]), "audio of another rate")


def check_backbone(backbone: Any) -> None:
    """Growing keeps old rows; a cached step equals a whole pass; a position sees what the mask says; scores cover the vocabulary."""
    import torch

    card = backbone.card
    assert isinstance(card, cards.BackboneCard), f"card is {type(card).__name__}, expected BackboneCard"
    backbone.eval()
    size = len(backbone.text_tokenizer)
    before = backbone.embed(torch.arange(5)[None]).detach().clone()
    backbone.resize(size + 7)
    assert torch.equal(backbone.embed(torch.arange(5)[None]), before), "growing the vocabulary changed old rows"
    embeddings = backbone.embed(torch.tensor([[1, 2, 3, size + 6]]))
    assert embeddings.shape == (1, 4, card.hidden_size), f"embed gave {tuple(embeddings.shape)}"
    whole = backbone.hidden(embeddings)
    cache = backbone.new_cache()
    first = backbone.hidden(embeddings[:, :3], torch.ones(1, 3, dtype=torch.bool), cache)
    last = backbone.hidden(embeddings[:, 3:], torch.ones(1, 4, dtype=torch.bool), cache)
    assert torch.allclose(torch.cat([first, last], 1), whole, atol=1e-4), "a cached step differs from a whole pass"
    see = torch.ones(1, 4, 4, dtype=torch.bool)
    assert torch.allclose(backbone.hidden(embeddings, see.tril()), whole, atol=1e-4), "a mask of earlier positions differs from none"
    assert not torch.allclose(backbone.hidden(embeddings, see)[:, 0], whole[:, 0], atol=1e-4), "the first position does not see what the mask shows it"
    scores = backbone.scores(whole)
    assert scores.shape == (1, 4, size + 7), "scores do not cover the vocabulary"
    assert torch.allclose(backbone.block_scores(whole, 3, 9), scores[..., 3:9], atol=1e-5), "block_scores differ from scores"


def check_prompt_format(prompt: Any, vocabulary: Any = None) -> None:
    """encode and decode agree; the loss covers outputs alone; the prompt is the given part; tags that its card does not accept are refused."""
    import torch

    card, vocabulary = prompt.card, vocabulary or test_vocabulary(prompt)
    tag, language = next(iter(card.tags), "MT"), next(iter(card.languages), "en")
    given = Segment("one two", False, language)
    sample = Sample("s", (tag,), (language,), (Turn("user", (given,)), Turn("assistant", (Segment("three four", True, language),))), (Emit("text", language),))
    sequence = prompt.encode(sample, vocabulary)
    assert isinstance(sequence, Sequence) and bool(sequence.learn.any()) and not bool(sequence.learn.all()), "the loss must cover outputs alone"
    asked = replace(sample, turns=sample.turns[:1])
    start = prompt.prompt(asked, vocabulary)
    assert torch.equal(sequence.ids[: len(start)], start.ids), "the prompt is not the beginning of the training sequence"
    assert not bool(start.learn.any()), "nothing of a prompt is learnt"
    segments = prompt.decode(sequence.ids[len(start) :].tolist(), asked, vocabulary)
    assert [s.content for s in segments] == ["three four"], f"decode gave {[s.content for s in segments]}"
    if not card.accepts_tag("no such tag"):
        _refuses(lambda: prompt.prompt(replace(asked, tags=("no such tag",)), vocabulary), "an unregistered tag")


def check_task(task: Any) -> None:
    """A sample with what the card says is given, and at least one learnt segment, in its order."""
    from alm.api.types import AudioFile, MediaFile

    pieces = (*task.card.inputs, *task.card.outputs)
    labels: dict[str, Any] = {piece.detail: piece.detail for piece in pieces if piece.kind == "label"}
    labels |= {piece.detail: (Mark("one", 0.1, 0.4),) for piece in pieces if piece.kind == "marks"}
    media = {piece.detail: MediaFile(Path("e"), piece.detail) for piece in pieces if piece.kind == "media"}
    source = Utterance("a", AudioFile(Path("a.wav")), "one", "en", "speaker", "g", labels, AudioFile(Path("c.wav")), media=media)
    target = Utterance("b", AudioFile(Path("b.wav")), "uno", "es", "another", "g", labels, AudioFile(Path("d.wav")), media=media)
    sample = task.build(source, target if task.card.needs_target else None)
    learnt = [s for s in sample.segments() if s.learn]
    given = [s for s in sample.segments() if not s.learn]
    assert bool(given) == bool(task.card.inputs) and len(learnt) == len(task.card.outputs), (
        f"{len(given)} given and {len(learnt)} learnt segments; card says {len(task.card.outputs)} outputs"
    )
    for segment, piece in zip(learnt, task.card.outputs, strict=True):
        assert segment.modality == piece.modality, f"output {piece} is a {segment.modality} segment"
    request = task.request(source, "es" if task.card.translates else "")
    assert [s.content for s in request.segments()] == [s.content for s in given], "a request gives what training gives, and nothing learnt"
    assert [emit.modality for emit in request.emits] == [s.modality for s in learnt], "a request emits what training learns"


def check_recognizer(recognizer: Any, clips: Any = None) -> None:
    """A text for each clip, the same alone and in a batch; other languages are refused."""
    card = recognizer.card
    assert isinstance(card, cards.RecognizerCard), f"card is {type(card).__name__}, expected RecognizerCard"
    clips = clips or test_clips(16_000)
    language = card.languages[0]
    texts = recognizer.read(clips, language)
    assert len(texts) == len(clips) and all(isinstance(text, str) for text in texts), f"got {texts!r} of {len(clips)} clips"
    assert recognizer.read(clips[:1], language) == texts[:1], "a clip alone is read otherwise than in a batch"
    _refuses(lambda: recognizer.read(clips[:1], "xx"), "an unknown language")


def check_converter(converter: Any, clips: list[Audio] | None = None) -> None:
    """Sound of the card's rate for each clip, by every speaker; other speakers and clips without sound are refused."""
    card = converter.card
    assert isinstance(card, cards.ConverterCard), f"card is {type(card).__name__}, expected ConverterCard"
    clips = clips or test_clips(16_000)
    converted = converter.convert(clips)
    assert len(converted) == len(clips), f"got {len(converted)} clips of {len(clips)}"
    for clip in [*converted, *(converter.convert(clips[:1], speaker)[0] for speaker in card.speakers)]:
        assert clip.sample_rate_hz == card.sample_rate_hz and clip.num_samples, f"got {clip.num_samples} samples at {clip.sample_rate_hz} Hz, card says {card.sample_rate_hz}"
    _refuses(lambda: converter.convert(clips[:1], "no such speaker"), "an unknown speaker")
    _refuses(lambda: converter.convert([Audio(clips[0].samples[:, :1], clips[0].sample_rate_hz)]), "a clip of one sample")


def check_synthesizer(synthesizer: Any, text: str = "one two three") -> None:
    """Sound of the card's rate for each text, longer for more words; other languages and speakers are refused."""
    card = synthesizer.card
    assert isinstance(card, cards.SynthesizerCard), f"card is {type(card).__name__}, expected SynthesizerCard"
    language = card.languages[0]
    short, long = synthesizer.speak([text, f"{text} {text} {text}"], language)
    assert short.sample_rate_hz == long.sample_rate_hz == card.sample_rate_hz, f"got {short.sample_rate_hz} Hz, card says {card.sample_rate_hz}"
    assert long.duration_s > short.duration_s > 0.1, f"got {short.duration_s:.2f} s and, for thrice the words, {long.duration_s:.2f} s"
    for speaker in card.speakers:
        assert synthesizer.speak([text], language, speaker)[0].num_samples
    _refuses(lambda: synthesizer.speak([text], "xx"), "an unknown language")
    _refuses(lambda: synthesizer.speak([text], language, "no such speaker"), "an unknown speaker")
    _refuses(lambda: synthesizer.speak([" "], language), "a text with nothing to say")


def check_frontend(frontend: Any) -> None:
    """It gives a text in every language of its card without its data missing, the same each time, and refuses others."""
    for language in frontend.card.languages:
        said = frontend.analyse("Paris 21", language)
        assert isinstance(said, str) and said.strip() == said and said, f"got {said!r} of a text in {language}"
        assert said == frontend.analyse("Paris 21", language), "a second time differs"
        assert frontend.analyse("", language) == "", "a text without anything to say must give none"
    assert frontend.card.symbols, "the card must say what it writes"
    _refuses(lambda: frontend.analyse("one", "no such language"), "an unknown language")


def check_vocoder(vocoder: Any) -> None:
    """Rate and length; a clip alone equals the clip in a batch; units of another tokenizer refused."""
    import torch

    card = vocoder.card
    assert isinstance(card, cards.VocoderCard), f"card is {type(card).__name__}, expected VocoderCard"
    generator = torch.Generator().manual_seed(0)

    def units(frames: int, fingerprint: str = card.units_fingerprint) -> Units:
        codes = torch.randint(card.vocabulary_size, (card.codebooks, frames), generator=generator)
        durations = torch.randint(1, 4, (frames,), generator=generator) if card.predicts_durations else None
        return Units(codes, card.frame_rate_hz, fingerprint, durations)

    batch = [units(20), units(7), units(33)]
    speaker = card.speakers[0] if card.speakers else ""
    together = vocoder.synthesize(batch, [speaker] * 3)
    for clip, audio in zip(batch, together, strict=True):
        assert audio.sample_rate_hz == card.sample_rate_hz, "audio does not have the card's rate"
        assert abs(audio.duration_s - clip.duration_s) < 0.1, f"{audio.duration_s:.2f} s for {clip.duration_s:.2f} s of units"
        alone = vocoder.synthesize([clip], [speaker])[0]
        assert torch.allclose(alone.samples, audio.samples, atol=1e-3), "a clip alone differs from the clip in a batch"
    _refuses(lambda: vocoder.synthesize([units(5, "another")], [speaker]), "units of another tokenizer")
    _refuses(lambda: vocoder.synthesize([batch[0]], ["no such speaker"]), "an unknown speaker")
    if card.streams:
        _check_stream(vocoder, speaker, units(card.lookahead_units + 2 * max(card.context_units, 10) + 40), generator)


def _check_stream(vocoder: Any, speaker: str, whole: Units, generator: Any) -> None:
    """Pieces of any length join to what is made at once; sound waits for no more units than the card says."""
    import torch

    card = vocoder.card
    assert isinstance(vocoder, StreamingVocoder), "the card says that it streams; no method stream(speaker)"
    per_unit = round(card.sample_rate_hz / card.frame_rate_hz)
    frames = whole.num_frames
    wanted = vocoder.synthesize([whole], [speaker])[0].samples
    for longest in (1, 3, 25, frames):
        stream, pieces, start = vocoder.stream(speaker), [], 0
        while start < frames:
            stop = min(frames, start + int(torch.randint(1, longest + 1, (), generator=generator)))
            pieces.append(stream.push(whole[start:stop]))
            start, heard = stop, sum(piece.num_samples for piece in pieces if piece is not None)
            due = per_unit * round(whole[: max(0, start - card.lookahead_units)].duration_s * card.frame_rate_hz)
            assert heard >= due, f"after {start} units {heard} samples came, {due} were due with {card.lookahead_units} units ahead"
        pieces.append(stream.finish())
        joined = torch.cat([piece.samples for piece in pieces if piece is not None], 1)
        assert joined.shape == wanted.shape, f"{joined.shape[1]} samples in pieces, {wanted.shape[1]} at once"
        worst = float((joined - wanted).abs().max())
        assert worst < STREAM_TOLERANCE, f"pieces of up to {longest} units differ by {worst:.1e} from the whole"
    _refuses(lambda: stream.push(whole[:1]), "units after the end of a stream")
    _refuses(lambda: vocoder.stream(speaker).push(replace(whole[:1], fingerprint="another")), "units of another tokenizer, streamed")


def check_decoder(decoder: Any) -> None:
    """Never chooses a forbidden id; the same generator gives the same choice."""
    import torch

    scores = torch.randn(4, 50, generator=torch.Generator().manual_seed(0))
    scores[:, ::2] = float("-inf")
    chosen = decoder.choose(scores, torch.Generator().manual_seed(1))
    assert chosen.shape == (4,) and bool((chosen % 2 == 1).all()), f"chose {chosen.tolist()}, of which some are forbidden"
    assert torch.equal(chosen, decoder.choose(scores, torch.Generator().manual_seed(1))), "the same generator gave another choice"


def check_following_decoder(decoder: Any, said: Any, rule: Any, vocabulary: Any) -> None:
    """It follows this span; each span has its own state; never a forbidden id, and the stop id where it alone is allowed.

    Args:
        said, rule, vocabulary: as `FollowingDecoder.follow` takes them.
    """
    import torch

    assert isinstance(decoder, FollowingDecoder), "no method follow(said, rule, vocabulary)"
    check_decoder(decoder)
    scores = torch.randn(12, len(vocabulary), generator=torch.Generator().manual_seed(0))
    masks = [vocabulary.allowed(rule, min(step, rule.max_ids)) for step in range(len(scores))]

    def choices(follower: Any) -> list[int]:
        chosen: list[int] = []
        for row, mask in zip(scores, masks, strict=True):
            chosen.append(int(follower.choose(row.masked_fill(~mask, float("-inf"))[None], torch.Generator().manual_seed(1))[0]))
            assert bool(mask[chosen[-1]]), f"chose {chosen[-1]}, which is forbidden"
            if chosen[-1] == rule.stop_id:
                break
        return chosen

    first, second = (decoder.follow(said, rule, vocabulary) for _ in range(2))
    assert first is not None and second is not None, "does not follow this span"
    assert choices(first) == choices(second), "two spans of the same content share a state"
    last = decoder.follow(said, rule, vocabulary)
    only = torch.full((1, len(vocabulary)), float("-inf"))
    only[0, rule.stop_id] = 0.0
    assert last is not None and int(last.choose(only, torch.Generator().manual_seed(1))[0]) == rule.stop_id, "the stop id alone was allowed"


def check_search(search: Any, language_model: Any = None) -> None:
    """What is plainly heard is read; readings are ordered and no more than the card's; a clip reads alike alone and in a batch; posteriors
    of other labels are refused."""
    import torch

    from alm.api.recognition import Labels

    assert isinstance(search.card, cards.SearchCard), f"card is {type(search.card).__name__}, expected SearchCard"
    labels = Labels((" ", "a", "b"))
    paths = ([2, 2, 0, 3, 1, 0, 2, 0, 3, 3], [3, 0, 2], [2, 0, 3, 0])  # "ab ab", "ba", "ab"
    clips = [torch.nn.functional.one_hot(torch.tensor(path), 4).float().mul(12).log_softmax(-1) for path in paths]
    together = search.search(clips, labels, language_model)
    assert [found[0].text for found in together] == ["ab ab", "ba", "ab"], f"read {[found[0].text for found in together]}"
    for clip, readings in zip(clips, together, strict=True):
        assert 1 <= len(readings) <= search.card.readings, f"{len(readings)} readings, card says {search.card.readings}"
        scores = [reading.score for reading in readings]
        assert scores == sorted(scores, reverse=True), "readings are not in the order of their scores"
        assert [reading.text for reading in search.search([clip], labels, language_model)[0]] == [reading.text for reading in readings], "a clip reads otherwise alone"
    _refuses(lambda: search.search(clips, Labels(("a", " ")), language_model), "posteriors of other labels")


def check_language_model(model: Any) -> None:
    """Logarithms of probabilities, one for each word; the same alone and together."""
    from alm.api.recognition import END_OF_TEXT

    assert isinstance(model.card, cards.LanguageModelCard), f"card is {type(model.card).__name__}, expected LanguageModelCard"
    histories: list[tuple[str, ...]] = [(), ("the",), ("the", "number"), ("unheard", "of")]
    words = ["the", "number", END_OF_TEXT, "the"]
    together = model.score(histories, words)
    assert len(together) == len(words) and all(value <= 1e-6 for value in together), f"got {together}, expected {len(words)} logarithms of probabilities"
    for value, history, word in zip(together, histories, words, strict=True):
        assert abs(model.score([history], [word])[0] - value) < 1e-3, f"{word!r} after {history} is likelier alone than beside others"


def check_classifier(classifier: Any, features: Any) -> None:
    """Log-probabilities of the card's labels, the same alone and beside others; vectors of length 1 where it compares clips.

    Args:
        features: of two clips or more, of the encoder that it was trained on.
    """
    import torch

    card = classifier.card
    assert isinstance(card, cards.ClassifierCard) and card.label and len(card.labels) > 1, f"card is {card}, expected a ClassifierCard with a label and its names"
    together = classifier.classify(features)
    for found, item in zip(together, features, strict=True):
        wanted = (item.num_frames, len(card.labels)) if card.frames else (len(card.labels),)
        assert tuple(found.shape) == wanted, f"shape {tuple(found.shape)}, expected {wanted}"
        torch.testing.assert_close(found.exp().sum(-1), torch.ones(found.shape[:-1]), atol=1e-3, rtol=0, msg="probabilities do not sum to 1")
        torch.testing.assert_close(classifier.classify([item])[0], found, atol=1e-3, rtol=0, msg="a clip is classified otherwise alone than beside others")
    if card.frames:
        _refuses(lambda: classifier.embed(features), "clips to compare by a classifier of frames")
    else:
        lengths = classifier.embed(features).norm(dim=1)
        torch.testing.assert_close(lengths, torch.ones(len(features)), atol=1e-3, rtol=0, msg="embeddings are not of length 1")


def check_rescorer(rescorer: Any) -> None:
    """A finite number for each text, the same alone and beside others."""
    assert isinstance(rescorer.card, cards.RescorerCard), f"card is {type(rescorer.card).__name__}, expected RescorerCard"
    texts = ["please enter your number", "please", "", "enter the number and the name of the conference"]
    together = rescorer.score(texts)
    assert len(together) == len(texts) and all(map(math.isfinite, together)), f"got {together}, expected {len(texts)} numbers"
    for value, text in zip(together, texts, strict=True):
        assert abs(rescorer.score([text])[0] - value) < 1e-3, f"{text!r} gets another number alone than beside others"


def check_speech_detector(detector: Any, speech: Audio | None = None) -> None:
    """Probabilities at the card's rate; little in silence; the same each time; much in speech, if a recording of some is given."""
    import torch

    card = detector.card
    assert isinstance(card, cards.SpeechDetectorCard), f"card is {type(card).__name__}, expected SpeechDetectorCard"
    silence = Audio(1e-4 * torch.randn(1, 3 * card.sample_rate_hz, generator=torch.Generator().manual_seed(0)), card.sample_rate_hz)
    found = detector.probabilities(silence)
    assert found.ndim == 1 and abs(len(found) - 3 * card.frame_rate_hz) <= 2, f"shape {tuple(found.shape)}, expected about {3 * card.frame_rate_hz:g} frames"
    assert float(found.min()) >= 0 and float(found.max()) <= 1, "probabilities outside 0 to 1"
    assert float(found.mean()) < 0.3, f"a share of {float(found.mean()):.2f} of silence is taken for speech"
    if speech is not None:
        clip = speech.mono().resample(card.sample_rate_hz)
        heard = detector.probabilities(clip)
        assert float(heard.mean()) > 0.5, f"a share of {float(heard.mean()):.2f} of speech is heard as such"
        assert torch.equal(heard, detector.probabilities(clip)), "the same recording gives other probabilities the second time"


def check_corpus(corpus: Any, split: str | None = None) -> None:
    """Utterances with unique ids, whose audio files exist and whose languages are on the card; or ready-made samples, or pairs of them."""
    card = corpus.card
    split = split or card.splits[0]
    utterances = list(corpus.utterances(split))
    others = [*(corpus.samples(split) if isinstance(corpus, SampleCorpus) else ()), *(corpus.preferences(split) if isinstance(corpus, PreferenceCorpus) else ())]
    assert utterances or others, f"split {split} is empty"
    assert len({u.id for u in utterances}) == len(utterances), "utterance ids are not unique"
    for utterance in utterances:
        assert not card.languages or utterance.language in card.languages, f"language {utterance.language!r} is not on the card"
        assert utterance.audio is None or utterance.audio.path.is_file(), f"{utterance.audio} does not exist"
        assert utterance.audio or utterance.text, f"{utterance.id} has neither audio nor text"


def check_metric(metric: Any) -> None:
    """A number; what equals its reference scores at least as well as what does not."""
    import torch

    if metric.card.compares == "text":
        texts = ["one two three four", "seven eight nine ten"]
        same = metric.score(texts, texts, "en")
        other = metric.score(["five six"] * 2, texts, "en")
        assert same < other if metric.card.better == "lower" else same > other, f"equal texts score {same}, different ones {other}"
    elif metric.card.compares == "marks":
        true = (Mark("one", 0.1, 0.4), Mark("two", 0.5, 0.9))
        same = metric.score([true], [true], "en")
        other = metric.score([(Mark("one", 0.2, 0.4), Mark("two", 0.6, 0.9))], [true], "en")
        assert same < other if metric.card.better == "lower" else same > other, f"equal marks score {same}, shifted ones {other}"
    elif metric.card.reference == "text":
        value = metric.score([Audio(torch.randn(1, 16_000) * 0.01, 16_000)], ["one"], "en")
        assert isinstance(value, float) and math.isfinite(value), f"score is {value!r}"
    else:
        clips = test_clips(16_000)[1:]
        same = metric.score(clips, clips, "en")
        other = metric.score(clips, clips[::-1], "en")
        assert same < other if metric.card.better == "lower" else same > other, f"equal clips score {same}, different ones {other}"
        again = metric.score([clip.resample(48_000) for clip in clips], clips, "en")
        assert abs(again - same) < abs(other - same), f"a clip at another rate scores {again}, itself {same}, another clip {other}"


def _refuses(call: Any, what: str) -> None:
    try:
        call()
    except AlmError:
        return
    raise AssertionError(f"expected an AlmError for {what}")
