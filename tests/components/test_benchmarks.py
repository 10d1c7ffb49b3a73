"""Public benchmarks in the layouts in which they are published, read from folders made here; what is missing is said."""

from __future__ import annotations

import json

import pytest

import alm
from alm.api.errors import AlmError
from alm.api.testing import check_corpus
from alm.components.metrics.labels import choice_accuracy
from alm.core.parts import load_component
from alm.core.plugins import registry
from alm.core.sources import SourceContext


def opened(name, folder):
    return load_component(registry(), "corpus", name, {"folder": f"dir:{folder}"}, SourceContext())


def put(clip, *paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        alm.write_audio(path, clip)


def test_zero_speech(tmp_path, clip):
    put(clip, *(tmp_path / f"{name}.wav" for name in ("aab", "aac", "bxy", "bxz")))
    (tmp_path / "gold.csv").write_text(
        "id,filename,voice,frequency,word,phones,length_phones,correct\n"
        "1,aab,en-US-Wavenet-A,10,brick,b r i k,4,1\n1,aac,en-US-Wavenet-A,10,blick,b l i k,4,0\n"
        "1,bxy,en-US-Wavenet-B,10,brick,b r i k,4,1\n1,bxz,en-US-Wavenet-B,10,blick,b l i k,4,0\n"
    )
    corpus = opened("swuggy", tmp_path)
    check_corpus(corpus)
    found = list(corpus.utterances("test"))
    assert [(u.id, u.group, u.labels["correct"], u.text) for u in found][:2] == [("aab", "1/en-US-Wavenet-A", "yes", "brick"), ("aac", "1/en-US-Wavenet-A", "no", "blick")]
    assert len({u.group for u in found}) == 2 and not list(corpus.utterances("train"))
    (tmp_path / "bxz.wav").unlink()
    with pytest.raises(AlmError, match="bxz"):
        list(corpus.utterances("test"))
    (tmp_path / "gold.csv").write_text("id,filename\n1,aab\n")
    with pytest.raises(AlmError, match="without column 'voice'"):
        list(opened("sblimp", tmp_path).utterances("test"))
    with pytest.raises(AlmError, match=r"gold\.csv"):
        list(opened("sblimp", tmp_path.parent).utterances("test"))


def test_story_cloze(tmp_path, clip):
    put(clip, *(tmp_path / f"{name}.wav" for name in ("0_correct", "0_incorrect", "11_incorrect", "11_correct")))
    found = {u.id: (u.group, u.labels["correct"]) for u in opened("story-cloze", tmp_path).utterances("test")}
    assert found == {"0_correct": ("0", "yes"), "0_incorrect": ("0", "no"), "11_correct": ("11", "yes"), "11_incorrect": ("11", "no")}
    (tmp_path / "11_correct.wav").unlink()
    with pytest.raises(AlmError, match="as pair 11"):
        list(opened("story-cloze", tmp_path).utterances("test"))


def test_air_bench(tmp_path, clip):
    put(clip, tmp_path / "Speech_Grounding_x" / "a.wav", tmp_path / "Audio_Grounding_y" / "b.flac")
    entry = {
        "path": "a.wav",
        "task_name": "Speech_Grounding",
        "dataset_name": "x",
        "question": "When?",
        "choice_a": "[1, 2]",
        "choice_b": "[3, 4]",
        "answer_gt": "[3, 4]",
        "uniq_id": 7,
    }
    other = entry | {"path": "b.wav", "task_name": "Audio_Grounding", "dataset_name": "y", "choice_c": "never", "choice_d": None, "answer_gt": "never", "uniq_id": 8}
    (tmp_path / "Foundation_meta.json").write_text(json.dumps([entry, other]))
    corpus = opened("air-bench", tmp_path)
    check_corpus_of_questions(corpus)
    first, second = corpus.utterances("test")
    assert first.labels == {"question": "When?", "choices": "A. [1, 2] B. [3, 4]", "choice": "B. [3, 4]", "kind": "Speech_Grounding"}
    assert second.labels["choice"] == "C. never" and second.audio.path.suffix == ".flac"
    (tmp_path / "Foundation_meta.json").write_text(json.dumps([entry | {"answer_gt": "[5, 6]"}]))
    with pytest.raises(AlmError, match=r"got answer '\[5, 6\]'"):
        list(corpus.utterances("test"))


def check_corpus_of_questions(corpus):
    for utterance in corpus.utterances("test"):
        assert utterance.audio.path.is_file() and utterance.labels["choice"] in utterance.labels["choices"]


def test_mmau(tmp_path, clip):
    put(clip, tmp_path / "test-mini-audios" / "3fe6.wav")
    entry = {"id": "3fe6", "audio_id": "./test-mini-audios/3fe6.wav", "question": "Who speaks?", "choices": ["Man", "Woman", "Child"], "answer": "Woman", "task": "sound"}
    (tmp_path / "mmau-test-mini.json").write_text(json.dumps([entry]))
    (found,) = opened("mmau", tmp_path).utterances("test")
    assert found.labels == {"question": "Who speaks?", "choices": "A. Man B. Woman C. Child", "choice": "B. Woman", "kind": "sound"}
    (tmp_path / "mmau-test-mini.json").write_text("[{}]")
    with pytest.raises(AlmError, match="entry 0 of .* without 'id'"):
        list(opened("mmau", tmp_path).utterances("test"))


def test_voice_bench(tmp_path, clip):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    alm.write_audio(tmp_path / "sound.wav", clip)
    sound = {"bytes": (tmp_path / "sound.wav").read_bytes(), "path": "0.wav"}
    rows = {"prompt": ["Which is it? A. one B. two"] * 2, "reference": ["B", "A"], "audio": [sound] * 2}
    parquet.write_table(pyarrow.table(rows), tmp_path / "test-00000-of-00001.parquet")
    first, second = opened("voice-bench", tmp_path).utterances("test")
    assert (first.labels["choice"], second.labels["choice"], first.text) == ("B", "A", "Which is it? A. one B. two")
    assert alm.read_audio(first.audio).duration_s == pytest.approx(clip.duration_s, abs=0.01)


def test_answers_are_read_as_the_benchmarks_read_them():
    wanted = ["B. a dog"] * 8
    said = ["B", "b. a dog", "(B) a dog", "A dog.", "The answer is B.", "A", "a cat", "option C: B"]
    assert [choice_accuracy([s], [w]) for s, w in zip(said, wanted, strict=True)] == [100.0] * 5 + [0.0] * 3
    assert choice_accuracy(["B", "A"], ["B", "B"]) == 50
