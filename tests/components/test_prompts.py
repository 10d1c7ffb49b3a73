"""Every prompt format, byte by byte, against sequences written by hand; what is encoded is decoded again."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings, strategies as st

from alm.api.cards import TaskCard, TokenizerCard
from alm.api.errors import AlmError
from alm.api.layouts import make_layout
from alm.api.plans import PlanReader, pieces_of
from alm.api.tasks import DeclaredTask
from alm.api.testing import test_text_tokenizer
from alm.api.types import AudioFile, Mark, Sample, Segment, Turn, Units, Utterance
from alm.api.vocabulary import JointVocabulary
from alm.components.prompts.audiopalm import AudioPalmFormat
from alm.components.prompts.cards import SPEECHGPT_CARD, SpeechGptOptions
from alm.components.prompts.speechgpt import SpeechGptFormat
from alm.components.tasks import TASKS

CARD = TokenizerCard(16_000, 50.0, 1000, merges_repeats=True, fingerprint="mhubert")
BY_TAG = {card.tag: card for card in TASKS}


def vocabulary_of(prompt) -> JointVocabulary:
    return JointVocabulary(test_text_tokenizer(), CARD, tags=prompt.card.added_tags, unit_token=prompt.card.unit_token)


def units(*codes: int) -> Units:
    return Units(torch.tensor([codes]), 50.0, "mhubert")


def made(task: DeclaredTask, contents: dict[str, object], target: bool = False) -> Sample:
    """A task's sample with its recordings replaced by units: of the source, of its other recording, of the target."""
    source = Utterance("a", AudioFile("source"), "hello", "en", "anna", "g", {k: v for k, v in contents.items() if "." not in k}, AudioFile("other"))
    other = Utterance("b", AudioFile("target"), "hola", "es" if task.card.translates else "en", "ben", "g", source.labels)
    sample = task.build(source, other if target else None)
    sounds = {"source": units(661, 987), "other": units(3), "target": units(12, 7)}

    def filled(segment: Segment) -> Segment:
        return dataclasses.replace(segment, content=sounds[str(segment.content.path)]) if isinstance(segment.content, AudioFile) else segment

    return dataclasses.replace(sample, turns=tuple(Turn(t.role, tuple(map(filled, t.segments))) for t in sample.turns))


def written(prompt, sample: Sample) -> str:
    vocabulary = vocabulary_of(prompt)
    return vocabulary.spelt(prompt.encode(sample, vocabulary).ids.tolist()).removesuffix("<end>")


SPEECHGPT = SpeechGptFormat(SpeechGptOptions())
AUDIOPALM = AudioPalmFormat()


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("ASR", "[ASR English]<661><987>\n hello\n"),
        ("AST", "[AST English Spanish]<661><987>\n hola\n"),
        ("TTS", "[TTS English] hello\n<661><987>\n"),
        ("S2ST", "[S2ST English Spanish]<661><987>\n<12><7>\n"),
        ("MT", "[MT English Spanish] hello\n hola\n"),
        ("ASR AST S2ST", "[ASR AST S2ST English Spanish]<661><987>\n hello\n hola\n<12><7>\n"),
        ("SQA-ABOUT", "[SQA-ABOUT English]<661><987>\n which key\n one\n"),
        ("SV", "[SV English]<661><987>\n<3>\n yes\n"),
        ("SPEECH", "[SPEECH English]<661><987>\n"),
        ("TEXT", "[TEXT English] hello\n"),
        ("LID", "[LID]<661><987>\n english\n"),
        ("SRWT", "[SRWT English]<661><987>\n <0.10> hello <0.50>\n"),
        ("CHAT-TA SENTIMENT", "[CHAT-TA SENTIMENT English]<661><987>\n hola\n<12><7>\n neutral\n"),
    ],
)
def test_audiopalm_writes(tags, expected):
    task = DeclaredTask(*(BY_TAG[tag] for tag in tags.split()))
    labels = {"question": "which key", "answer": "one", "same_speaker": "yes", "words": (Mark("hello", 0.1, 0.5),), "sentiment": "neutral", "language": "english"}
    assert written(AUDIOPALM, made(task, labels, task.card.needs_target)) == expected


def instructed(card: TaskCard, instruction: str) -> DeclaredTask:
    return DeclaredTask(dataclasses.replace(card, instructions=(instruction,) if instruction else ()))


@pytest.mark.parametrize(
    ("tag", "instruction", "expected"),
    [
        ("TTS", "Read this out loud.", "[Human]: Read this out loud. This is input: hello<eoh> [SpeechGPT]: <sosp><661><987><eosp><eoa> "),
        ("ASR", "Turn this into text.", "[Human]: Turn this into text. This is input: <sosp><661><987><eosp><eoh> [SpeechGPT]: hello<eoa> "),
        ("CHAT-COM", "", "[Human]: <sosp><661><987><eosp><eoh>. [SpeechGPT]: hello; [ta] hola; [ua] <sosp><12><7><eosp><eoa>."),
        ("CHAT-COM-T", "", "[Human]: <sosp><661><987><eosp><eoh>. [SpeechGPT]: hello; [ta] hola<eoa>."),
        ("CHAT-COM-A", "", "[Human]: hello<eoh>. [SpeechGPT]: hola; [ua] <sosp><12><7><eosp><eoa>."),
        ("CHAT", "", "[Human]: hello<eoh>. [SpeechGPT]: hola<eoa>."),
        ("SPEECH", "", "<end><sosp><661><987><eosp>"),
        ("TEXT", "", "<end> hello"),
        ("S2ST", "Say it in {target}.", "[Human]: Say it in Spanish. This is input: <sosp><661><987><eosp><eoh> [SpeechGPT]: <sosp><12><7><eosp><eoa> "),
    ],
)
def test_speechgpt_writes(tag, instruction, expected):
    task = instructed(BY_TAG[tag], instruction)
    assert written(SPEECHGPT, made(task, {}, task.card.needs_target)) == expected


def test_speechgpt_masks():
    """Answers alone, or all behind the system's text."""
    sample = made(instructed(BY_TAG["TTS"], "Read."), {})
    for learn_human, start in ((False, ": <sosp>"), (True, "[Human]: Read.")):
        prompt = SpeechGptFormat(SpeechGptOptions("You are an assistant. ", learn_human))
        vocabulary = vocabulary_of(prompt)
        sequence = prompt.encode(sample, vocabulary)
        learnt = vocabulary.spelt(sequence.ids[sequence.learn].tolist())
        assert learnt.startswith(start.removeprefix(":")) and vocabulary.spelt(sequence.ids.tolist()).startswith("You are an assistant. [Human]: Read.")


def test_a_speechgpt_prompt_spaced_as_released():
    """`[Human]: {question} <eoh>. [SpeechGPT]: `, whichever way the question comes; speech in the answer follows without another space."""
    prompt = SpeechGptFormat(SpeechGptOptions(ask_as_released=True))
    vocabulary = vocabulary_of(prompt)
    for tag, question, opening in (("CHAT-A", "<sosp><661><987><eosp>", "<sosp>"), ("CHAT", "hello", "")):
        sample = made(DeclaredTask(dataclasses.replace(BY_TAG[tag], instructions=())), {}, target=True)
        assert vocabulary.spelt(prompt.prompt(sample, vocabulary).ids.tolist()) == f"[Human]: {question} <eoh>. [SpeechGPT]: "
        assert vocabulary.spelt(list(prompt.plan(sample, vocabulary)[0].opening)) == opening


@pytest.mark.parametrize("beyond", ["; [ua] z]ua] [ua", " ; [ta] one moment", "<eoa>. volu volu"])
def test_an_answer_that_runs_on_ends_where_nobody_asked_for_more(beyond):
    """A small model writes markers in other ids than those that end its plan, and goes on to the limit."""
    vocabulary = vocabulary_of(SPEECHGPT)
    sample = made(DeclaredTask(BY_TAG["CHAT"]), {}, target=True)
    (answer,) = SPEECHGPT.decode(vocabulary.text_ids(f" thank you{beyond}"), sample, vocabulary)
    assert answer.content == "thank you"


def test_text_and_speech_take_turns():
    """So many ids of text, so many frames; when one has ended, the other goes on. Only speech that says the text is so written."""
    layout = make_layout("flattened", 1, turns=(4, 2))
    vocabulary = JointVocabulary(test_text_tokenizer(), CARD, layout)

    def spoken(codes: tuple[int, ...], tags: str = "CHAT-TA SENTIMENT") -> Sample:
        sample = made(DeclaredTask(*(BY_TAG[tag] for tag in tags.split())), {"sentiment": "fine"}, target=True)
        filled = [dataclasses.replace(s, content=units(*codes)) if s.learn and isinstance(s.content, Units) else s for s in sample.segments()]
        return dataclasses.replace(sample, turns=(sample.turns[0], Turn("assistant", tuple(filled[1:]))))

    head = "[CHAT-TA SENTIMENT English]<661><987>\n"
    for codes, expected in (
        ((1, 2, 3, 4, 5), " hol<1><2>a\n<3><4><5>\n fine\n"),
        ((1, 2), " hol<1><2>a\n\n fine\n"),
        ((1,), " hol<1>\na\n fine\n"),
    ):
        sample = spoken(codes)
        sequence = AUDIOPALM.encode(sample, vocabulary)
        assert vocabulary.spelt(sequence.ids.tolist()) == head + expected + "<end>"
        start = AUDIOPALM.prompt(sample, vocabulary)
        text, speech, label = AUDIOPALM.decode(sequence.ids[len(start) :].tolist(), sample, vocabulary)
        assert (text.content, speech.content.codes[0].tolist(), label.content) == ("hola", list(codes), "fine")
        assert [span.kind for span in sequence.spans[3:6]] == ["text", "units", "end" if len(codes) == 1 else "text"]
    assert vocabulary.spelt(AUDIOPALM.encode(spoken((1,), "ASR AST S2ST"), vocabulary).ids.tolist()).endswith("hello\n hol<1>\na\n<end>"), "the translation, not the transcript"
    with pytest.raises(AlmError, match="each 1 or more"):
        make_layout("flattened", 1, turns=(0, 2))


def test_text_stands_beside_its_speech():
    """An id of text at the position of a unit, closed by the end token; the transcript before it stays a piece of its own."""
    vocabulary = JointVocabulary(test_text_tokenizer(), CARD, make_layout("flattened", 1, text_beside=True))
    sample = made(DeclaredTask(*(BY_TAG[tag] for tag in ("ASR", "AST", "S2ST"))), {}, target=True)
    codes = (1, 2, 3, 4, 5, 6, 7, 8)
    filled = [dataclasses.replace(s, content=units(*codes)) if s.learn and isinstance(s.content, Units) else s for s in sample.segments()]
    sample = dataclasses.replace(sample, turns=(sample.turns[0], Turn("assistant", tuple(filled[1:]))))
    sequence, start = AUDIOPALM.encode(sample, vocabulary), len(AUDIOPALM.prompt(sample, vocabulary))
    assert vocabulary.spelt(sequence.ids.tolist()) == "[ASR AST S2ST English Spanish]<661><987>\n hello\n<1><2><3><4><5><6><7><8>\n<end>"
    beside = sequence.more[:, 0].tolist()
    where = sequence.ids.tolist().index(vocabulary.unit_ids.start + 1)
    assert vocabulary.spelt(beside[where : where + 6]) == " hola<end>" and set(beside[:where] + beside[where + 6 :]) == {-1}
    emitted = [index for position in range(start, len(sequence)) for index in (int(sequence.ids[position]), beside[position]) if index >= 0]
    transcript, text, speech = AUDIOPALM.decode(emitted, sample, vocabulary)
    assert (transcript.content, text.content, speech.content.codes[0].tolist()) == ("hello", "hola", list(codes))
    with pytest.raises(AlmError, match="2 units beside 6 ids"):
        AUDIOPALM.encode(made(DeclaredTask(BY_TAG["CHAT-TA"]), {}, target=True), vocabulary)
    with pytest.raises(AlmError, match="one codebook, and no turns"):
        make_layout("flattened", 2, text_beside=True)


LETTERS = st.text("abcdefghij klm<>;[]", min_size=1, max_size=30).map(str.strip).filter(bool)


@settings(max_examples=40, deadline=None)
@given(text=LETTERS, answer=LETTERS, codes=st.lists(st.integers(0, 999), min_size=2, max_size=9))
@pytest.mark.parametrize("prompt", [AUDIOPALM, SPEECHGPT], ids=["audiopalm", "speechgpt"])
def test_what_is_encoded_is_decoded(prompt, text, answer, codes):
    vocabulary = vocabulary_of(prompt)
    for tags in ("ASR", "TTS", "MT", "CHAT-COM", "ASR AST S2ST"):
        task = DeclaredTask(*(BY_TAG[tag] for tag in tags.split()))
        sample = made(task, {}, task.card.needs_target)
        contents = {"hello": text, "hola": answer}

        def filled(segment: Segment, contents: dict[str, str] = contents) -> Segment:
            content = contents[segment.content] if isinstance(segment.content, str) else units(*codes)
            return dataclasses.replace(segment, content=content)

        sample = dataclasses.replace(sample, turns=tuple(Turn(t.role, tuple(map(filled, t.segments))) for t in sample.turns))
        sequence = prompt.encode(sample, vocabulary)
        asked = dataclasses.replace(sample, turns=sample.turns[:1])
        start = prompt.prompt(asked, vocabulary)
        assert sequence.ids[: len(start)].tolist() == start.ids.tolist() and not bool(start.learn.any())
        found = prompt.decode(sequence.ids[len(start) :].tolist(), asked, vocabulary)
        wanted = [s.content for s in sample.segments() if s.learn]
        if any(isinstance(content, str) and any(marker in content for marker in ("<eoa>", "; [ta]", "; [ua]")) for content in wanted):
            continue  # the format has no way to quote its own markers
        got = [s.content.codes.tolist() if isinstance(s.content, Units) else s.content for s in found]
        assert got == [c.codes.tolist() if isinstance(c, Units) else c for c in wanted]


def test_every_task_has_a_sequence_in_each_format():
    """The tasks that ship: written, planned and read again, the outputs of each kind in their order."""
    marks = (Mark("one", 0.1, 0.4), Mark("two", 0.5, 0.9))
    assert len(TASKS) == len(BY_TAG) >= 30
    for card in TASKS:
        task = DeclaredTask(card)
        labels = {
            piece.detail: marks if piece.kind == "marks" else f"a {piece.detail.replace('_', ' ')}" for piece in (*card.inputs, *card.outputs) if piece.kind in ("label", "marks")
        }
        sample = made(task, labels, card.needs_target)
        for prompt in (AUDIOPALM, SPEECHGPT):
            vocabulary = vocabulary_of(prompt)
            sequence, start = prompt.encode(sample, vocabulary), prompt.prompt(sample, vocabulary)
            plan = prompt.plan(sample, vocabulary)
            assert [rule.kind for rule in plan] == ["units" if piece.modality == "audio" else "text" for piece in card.outputs]
            found = prompt.decode(sequence.ids[len(start) :].tolist(), sample, vocabulary)
            wanted = [s.content for s in sample.segments() if s.learn]
            assert [type(s.content) for s in found] == [type(content) for content in wanted], card.tag
            assert [s.content for s in found if not isinstance(s.content, Units)] == [c for c in wanted if not isinstance(c, Units)], card.tag


def test_a_plan_with_markers_is_read_as_it_is_emitted():
    """The loop forces openings, ends a span where its whole marker stands, and holds back what may be its beginning."""
    prompt, vocabulary = SPEECHGPT, vocabulary_of(SPEECHGPT)
    sample = made(DeclaredTask(BY_TAG["CHAT-COM"]), {}, target=True)
    sequence, start = prompt.encode(sample, vocabulary), prompt.prompt(sample, vocabulary)
    plan = prompt.plan(sample, vocabulary)
    reader, ids = PlanReader(plan), sequence.ids[len(start) :].tolist()
    seen = []
    for index in ids:
        if reader.done:
            break
        if reader.forced:
            assert reader.forced[0] == index, "what is forced is what is trained on"
        reader.advance([index])
        if not reader.done:
            seen.append(vocabulary.text(reader.settled(0)))
    assert reader.done and seen[-1] == "hello" and all("hello".startswith(text) for text in seen)
    assert pieces_of(ids, plan)[2] == vocabulary.unit_rows(units(12, 7))[:, 0].tolist()


def test_an_extended_text_tokenizer_keeps_its_ids():
    tokenizer = test_text_tokenizer()
    before = len(tokenizer)
    tokenizer.add_tokens([*(f"<{i}>" for i in range(1000)), *SPEECHGPT_CARD.added_tags])
    vocabulary = JointVocabulary(tokenizer, CARD, tags=SPEECHGPT_CARD.added_tags, unit_token="<{}>")
    assert vocabulary.blocks[0].size == before and len(vocabulary) == len(tokenizer) == before + 1006
    assert vocabulary.unit_rows(units(0, 999))[:, 0].tolist() == tokenizer.convert_tokens_to_ids(["<0>", "<999>"])
    assert vocabulary.tag_id("<eos>") == tokenizer.convert_tokens_to_ids("<eos>") == len(tokenizer) - 1
    with pytest.raises(AlmError, match="which is a unit or a tag"):
        vocabulary.text_ids("say <661>")
    other = test_text_tokenizer()
    other.add_tokens(["<0>", "<sosp>"])
    with pytest.raises(AlmError, match="without '<1>'"):
        JointVocabulary(other, CARD, tags=SPEECHGPT_CARD.added_tags, unit_token="<{}>")


def test_an_unregistered_tag_is_refused():
    vocabulary = vocabulary_of(AUDIOPALM)
    sample = dataclasses.replace(made(DeclaredTask(BY_TAG["ASR"]), {}), tags=("speech recognition",))
    with pytest.raises(AlmError, match="capital letters"):
        AUDIOPALM.encode(sample, vocabulary)
    with pytest.raises(AlmError, match="a tag of the prompt format"):
        vocabulary.tag_id("<sosp>")
