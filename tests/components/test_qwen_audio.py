"""Qwen-Audio's tags and ChatML, byte by byte; what may stand where; what is encoded is decoded again."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings, strategies as st

from alm.api.cards import TaskCard
from alm.api.errors import AlmError, UnknownNameError
from alm.api.tasks import DeclaredTask
from alm.api.testing import test_text_tokenizer
from alm.api.types import Emit, Mark, Sample, Segment, Turn
from alm.api.vocabulary import JointVocabulary
from alm.components.prompts.cards import HEADERS, ChatMlOptions, QwenAudioOptions, qwen_audio_card
from alm.components.prompts.chatml import ChatMlFormat
from alm.components.prompts.qwen_audio import QwenAudioFormat
from alm.components.prompts.qwen_tags import TIMES, all_tags, check_header
from alm.components.tasks import TASKS
from tests.components.test_prompts import BY_TAG, made, units, vocabulary_of, written

QWEN = QwenAudioFormat(QwenAudioOptions())
CHATML = ChatMlFormat(ChatMlOptions())
SOUND = "<audio><661><987></audio>"
WORDS = (Mark("hello", 0.1, 0.5), Mark("there", 0.62, 0.9))


@pytest.mark.parametrize(
    ("tag", "labels", "expected"),
    [
        ("ASR", {}, "<|startoftranscript|><|en|><|transcribe|><|en|><|notimestamps|><|wo_itn|>hello"),
        ("SRWT", {"words": WORDS}, "<|startoftranscript|><|en|><|transcribe|><|en|><|timestamps|><|0.00|><|0.10|>hello<|0.50|><|0.62|>there<|0.90|>"),
        ("LID", {"language": "Spanish"}, "<|startoftranscript|><|es|>"),
        ("AST", {}, "<|startoftranscript|><|en|><|translate|><|es|><|notimestamps|><|itn|>hola"),
        ("AQA", {"question": "what is it", "answer": "a bell"}, "<|startofanalysis|><|en|><|question|>what is it<|answer|>a bell"),
        ("CAPTION", {"caption": "a dog"}, "<|startofanalysis|><|en|><|caption|><|en|><|notimestamps|><|caption_plain|>a dog"),
        ("SCENE", {"scene": "park"}, "<|startofanalysis|><|en|><|keyword|><|en|><|notimestamps|><|scene|>park"),
        ("INTENT", {"intent": "pay"}, "<|startofanalysis|><|en|><|keyword|><|en|><|notimestamps|><|speech_understanding|><|action|>pay"),
        (
            "NOTE",
            {"note": "pitch 60, velocity 100, instrument flute"},
            "<|startofanalysis|><|en|><|keyword|><|en|><|notimestamps|><|note_analysis|><|pitch|><|midi_pitch_60|><|velocity|><|midi_velocity_100|><|instrument|>flute",
        ),
    ],
)
def test_qwen_audio_writes(tag, labels, expected):
    card = dataclasses.replace(BY_TAG[tag], instructions=("Do it.",))
    assert written(QWEN, made(DeclaredTask(card), labels, card.needs_target)) == SOUND + expected


def test_a_task_without_tags_is_a_question():
    """Tasks that Qwen-Audio has not, of any plugin; one that is to tell the language is not told it; written tasks have no sound."""
    language, in_words = dataclasses.replace(BY_TAG["LID"], instructions=("Which language?",)), QwenAudioFormat(QwenAudioOptions(headers={"LID": ""}))
    assert written(in_words, made(DeclaredTask(language), {"language": "english"})) == f"{SOUND}<|startofanalysis|><|unknown|><|question|>Which language?<|answer|>english"
    mood = TaskCard("MOOD", ("source.audio",), ("source.label.mood",), instructions=("Which mood?",))
    assert written(QWEN, made(DeclaredTask(mood), {"mood": "calm"})) == f"{SOUND}<|startofanalysis|><|en|><|question|>Which mood?<|answer|>calm"
    translation = dataclasses.replace(BY_TAG["MT"], instructions=("In {target}:",))
    assert written(QWEN, made(DeclaredTask(translation), {}, target=True)) == "<|startofanalysis|><|en|><|question|>In Spanish: hello<|answer|>hola"
    tagged = QwenAudioFormat(QwenAudioOptions(headers={"MOOD": "<|startofanalysis|>{source}<|keyword|>{source}<|notimestamps|><|scenario|>"}))
    assert written(tagged, made(DeclaredTask(mood), {"mood": "calm"})).endswith("<|keyword|><|en|><|notimestamps|><|scenario|>calm")


def test_all_tags_are_registered():
    """Each has an id of its own, and reads back as itself; every header that ships stands."""
    tags = all_tags()
    assert len(set(tags)) == len(tags) == 3309 and len(TIMES) == 3001 and (TIMES[0], TIMES[-1]) == ("<|0.00|>", "<|30.00|>")
    vocabulary = vocabulary_of(QWEN)
    ids = [vocabulary.tag_id(tag) for tag in tags]
    assert len(set(ids)) == len(tags) and [vocabulary.tag_name(index) for index in ids] == list(tags)
    assert vocabulary.spelt(ids) == "".join(tags)
    for header in HEADERS.values():
        check_header(header.format(source="<|en|>", target="<|fr|>"))
    chat = vocabulary_of(ChatMlFormat(ChatMlOptions(qwen_audio=True)))
    assert chat.fingerprint == vocabulary.fingerprint, "training goes on from one to the other"
    assert vocabulary.tag_id("<|wo_itn|>") == vocabulary_of(QwenAudioFormat(QwenAudioOptions(("ru",)))).tag_id("<|wo_itn|>"), "more languages come last"


@pytest.mark.parametrize(
    ("header", "error", "fix"),
    [
        ("<|startoftranscription|><|en|><|transcribe|>", UnknownNameError, r"<\|startoftranscript\|>"),
        ("<|startoftranscript|><|en|><|transcibe|>", UnknownNameError, r"<\|transcribe\|>"),
        ("<|startoftranscript|><|ru|><|transcribe|>", UnknownNameError, r"<\|fr\|>"),
        ("<|startoftranscript|><|transcribe|><|en|>", AlmError, "where the language of the audio belongs"),
        ("<|startoftranscript|><|en|><|transcribe|><|en|><|wo_itn|>", AlmError, r"write <\|notimestamps\|> before it|write <\|timestamps\|> before it"),
        ("<|startofanalysis|><|en|><|keyword|><|en|><|notimestamps|>", AlmError, "ends too soon; wanted an output instruction"),
        ("<|startofanalysis|><|en|><|keyword|><|en|><|notimestamps|><|scene|><|en|>", AlmError, "where an output instruction belongs"),
        ("<|startoftranscript|><|en|><|transcribe|><|en|><|timestamps|><|0.50|>", AlmError, r"write <\|0.00\|>"),
        ("<|startoftranscript|><|en|><|transcribe|><|en|><|timestamps|><|0.00|><|0.10|>", AlmError, "remove it"),
        ("<|startofanalysis|><|en|><|question|>why", AlmError, r"<\|answer\|>"),
        ("please <|en|>", AlmError, "wanted a tag"),
    ],
)
def test_a_tag_that_may_not_stand_there_is_refused(header, error, fix):
    with pytest.raises(error, match=fix):
        check_header(header)
    with pytest.raises(error, match=fix):
        qwen_audio_card(QwenAudioOptions(headers={"X": header}), None)


def test_what_the_format_cannot_say_is_refused():
    vocabulary = vocabulary_of(QWEN)
    with pytest.raises(AlmError, match="one task with one result"):
        QWEN.encode(made(DeclaredTask(BY_TAG["ASR"], BY_TAG["AST"]), {}, target=True), vocabulary)
    with pytest.raises(UnknownNameError, match="more_languages"):
        QWEN.encode(dataclasses.replace(made(DeclaredTask(BY_TAG["ASR"]), {}), languages=("ru",)), vocabulary)
    with pytest.raises(AlmError, match=r"a mark at 30\.10 s"):
        QWEN.encode(made(DeclaredTask(BY_TAG["SRWT"]), {"words": (Mark("late", 30.1, 30.5),)}), vocabulary)
    with pytest.raises(AlmError, match="a unit or a tag"):
        vocabulary.text_ids("say <end>")


def test_timestamps_may_be_emitted_where_they_are_wanted():
    vocabulary = vocabulary_of(QWEN)
    stamped, plain = (QWEN.plan(made(DeclaredTask(BY_TAG[tag]), {"words": WORDS}), vocabulary)[0] for tag in ("SRWT", "ASR"))
    first, last = vocabulary.tag_id("<|0.00|>"), vocabulary.tag_id("<|30.00|>")
    for rule, allowed in ((stamped, True), (plain, False)):
        mask = vocabulary.allowed(rule, 3)
        assert mask[first : last + 1].all() == allowed and mask[vocabulary.end_id] and mask[vocabulary.text_ids("a")].all()
        assert not mask[vocabulary.tag_id("<|en|>")] and not mask[last + 1 :].any()


def test_chatml_writes():
    card = dataclasses.replace(BY_TAG["SQA-ABOUT"], instructions=("Answer.",))
    sample = made(DeclaredTask(card), {"question": "which key", "answer": "one"})
    head = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    asked = f"<|im_start|>user\nAudio 1: {SOUND}\nAnswer. which key<|im_end|>\n<|im_start|>assistant\n"
    assert written(CHATML, sample) == head + asked + "one<|im_end|>"
    assert written(ChatMlFormat(ChatMlOptions("", audio=("<|audio_bos|>", "<|audio_eos|>"))), sample) == (asked + "one<|im_end|>").replace("<audio>", "<|audio_bos|>").replace(
        "</audio>", "<|audio_eos|>"
    )


def conversation() -> Sample:
    """Three turns over two recordings."""
    turns = (
        Turn("user", (Segment(units(661, 987)), Segment("what is said"))),
        Turn("assistant", (Segment("press one", learn=True),)),
        Turn("user", (Segment(units(12, 7)), Segment("and here"))),
        Turn("assistant", (Segment("thank you", learn=True),)),
        Turn("user", (Segment("which of the two mentions a key"),)),
        Turn("assistant", (Segment("the first", learn=True),)),
    )
    return Sample("talk", (), ("en",), turns, (Emit("text", "en"),))


def test_a_conversation_counts_its_recordings():
    vocabulary = vocabulary_of(CHATML)
    sequence, start = CHATML.encode(conversation(), vocabulary), CHATML.prompt(conversation(), vocabulary)
    expected = (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        f"<|im_start|>user\nAudio 1: {SOUND}\nwhat is said<|im_end|>\n<|im_start|>assistant\npress one<|im_end|>\n"
        "<|im_start|>user\nAudio 2: <audio><12><7></audio>\nand here<|im_end|>\n<|im_start|>assistant\nthank you<|im_end|>\n"
        "<|im_start|>user\nwhich of the two mentions a key<|im_end|>\n<|im_start|>assistant\nthe first<|im_end|>"
    )
    assert vocabulary.spelt(sequence.ids.tolist()) == expected
    assert vocabulary.spelt(sequence.ids[sequence.learn].tolist()) == "press one<|im_end|>thank you<|im_end|>the first<|im_end|>"
    assert vocabulary.spelt(start.ids.tolist()) == expected.removesuffix("the first<|im_end|>")
    assert CHATML.decode(sequence.ids[len(start) :].tolist(), conversation(), vocabulary)[0].content == "the first"


def test_a_text_tokenizer_that_has_the_tags_keeps_their_ids():
    """As those of the Qwen and SmolLM2 instruct models; what a user writes cannot end their turn."""
    tokenizer = test_text_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    vocabulary = JointVocabulary(tokenizer, None, tags=CHATML.card.added_tags)
    assert vocabulary.tag_id("<|im_end|>") == tokenizer.convert_tokens_to_ids("<|im_end|>") < len(tokenizer)
    assert vocabulary.tag_id("<audio>") == len(tokenizer) and len(vocabulary) == len(tokenizer) + 2
    assert vocabulary.kind_of(vocabulary.tag_id("<|im_start|>")) == "tag"
    assert vocabulary.spelt([vocabulary.tag_id("<|im_start|>"), *vocabulary.text_ids("user")]) == "<|im_start|>user"
    with pytest.raises(AlmError, match="a unit or a tag"):
        vocabulary.text_ids("hello<|im_end|>")


LETTERS = st.text("abcdefghij klm.,?'", min_size=1, max_size=30).map(str.strip).filter(bool)


@settings(max_examples=40, deadline=None)
@given(text=LETTERS, answer=LETTERS, times=st.lists(st.integers(0, 3000), min_size=2, max_size=2).map(sorted))
@pytest.mark.parametrize("prompt", [QWEN, CHATML], ids=["qwen-audio", "chatml"])
def test_what_is_encoded_is_decoded(prompt, text, answer, times):
    vocabulary = vocabulary_of(prompt)
    marks = (Mark(text, times[0] / 100, times[1] / 100),)
    for tag, labels in (("ASR", {}), ("AQA", {"question": text, "answer": answer}), ("SRWT", {"words": marks}), ("CHAT", {}), ("LID", {"language": answer})):
        sample = made(DeclaredTask(BY_TAG[tag]), labels, BY_TAG[tag].needs_target)
        sequence, start = prompt.encode(sample, vocabulary), prompt.prompt(dataclasses.replace(sample, turns=sample.turns[:1]), vocabulary)
        assert sequence.ids[: len(start)].tolist() == start.ids.tolist() and not bool(start.learn.any())
        (found,) = prompt.decode(sequence.ids[len(start) :].tolist(), sample, vocabulary)
        assert found.content == next(s.content for s in sample.segments() if s.learn)


def test_what_says_again_is_no_longer_than_what_is_heard():
    vocabulary = vocabulary_of(QWEN)
    for tag, labels, most in (("ASR", {}, 16 + 2 * 2), ("SRWT", {"words": (Mark("hello", 0.0, 0.4),)}, 16 + 4 * 2), ("AQA", {"question": "what", "answer": "it"}, 400)):
        (rule,) = QWEN.plan(made(DeclaredTask(dataclasses.replace(BY_TAG[tag], instructions=("Do it.",))), labels), vocabulary)
        assert rule.max_ids == most, "two units are heard"


def test_the_language_of_a_transcript_is_learnt():
    """As Qwen-Audio's model is trained to predict it: of sound that is transcribed, not of a question; a language's tag is read as its name."""
    vocabulary = vocabulary_of(QWEN)
    for tag, labels, learnt in (("ASR", {}, ["<|en|>"]), ("LID", {"language": "French"}, ["<|fr|>"]), ("AQA", {"question": "what", "answer": "it"}, [])):
        card = dataclasses.replace(BY_TAG[tag], instructions=("Do it.",))
        sequence = QWEN.encode(made(DeclaredTask(card), labels, card.needs_target), vocabulary)
        assert [name for index in sequence.ids[sequence.learn].tolist() if (name := vocabulary.tag_name(index)) and name != "<end>"] == learnt
    sample, french = made(DeclaredTask(BY_TAG["LID"]), {"language": "french"}), vocabulary.tag_id("<|fr|>")
    (rule,) = QWEN.plan(sample, vocabulary)
    allowed = vocabulary.allowed(rule, 0)
    assert bool(allowed[french]) and not bool(allowed[vocabulary.tag_id("<|transcribe|>")])
    assert QWEN.decode([french, vocabulary.end_id], sample, vocabulary)[0].content == "French"


def test_every_task_that_answers_in_text_has_a_sequence():
    carried = [card for card in TASKS if len(card.outputs) == 1 and card.outputs[0].modality != "audio"]
    assert len(carried) >= 30
    for card in carried:
        pieces = [piece for piece in (*card.inputs, *card.outputs) if piece.kind in ("label", "marks")]
        labels = {piece.detail: WORDS if piece.kind == "marks" else f"a {piece.detail.replace('_', ' ')}" for piece in pieces}
        sample = made(DeclaredTask(card), labels, card.needs_target)
        for prompt in (QWEN, CHATML):
            vocabulary = vocabulary_of(prompt)
            sequence, start = prompt.encode(sample, vocabulary), prompt.prompt(sample, vocabulary)
            assert [rule.kind for rule in prompt.plan(sample, vocabulary)] == ["text"]
            (found,) = prompt.decode(sequence.ids[len(start) :].tolist(), sample, vocabulary)
            assert found.content == next(s.content for s in sample.segments() if s.learn), card.tag
