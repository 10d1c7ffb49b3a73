"""The HTTP API, asked by OpenAI's own client over loopback: every endpoint, streamed and whole, and what is refused."""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import jiwer
import numpy as np
import pytest
import soundfile as sf
import torch

import alm
from alm.api.errors import AlmError
from alm.api.text import normalize_text
from alm.api.types import Audio
from alm.core.parts import Parts
from alm.core.results import Request

openai = pytest.importorskip("openai", reason="the server is tested with OpenAI's client: pip install openai")

from alm.serve.batcher import Batcher
from alm.serve.options import ServeOptions
from alm.serve.sounds import FORMATS, SoundEncoder, encoded
from alm.serve.state import State
from tests.recorded import recorded
from tests.serve.conftest import KEY, Server

SAID = "please enter your password"
TEXT = "Please enter your password."


def validated(answer):
    """An answer of the client as its own type checks it: the client itself takes anything."""
    return type(answer).model_validate(answer.model_dump())


def test_a_recording_is_written_down_as_the_pipeline_does(client, server, clip, wav):
    answer = validated(client.audio.transcriptions.create(file=("clip.wav", wav), model="prompts", language="en"))
    assert answer.text == server.app.state.alm.model("prompts").pipeline.transcribe(clip, "en")
    assert answer.usage.seconds == pytest.approx(clip.duration_s, abs=0.01)
    assert client.audio.transcriptions.create(file=("clip.wav", wav), model="cascade").text.lower().startswith(SAID)
    assert client.audio.transcriptions.create(file=("clip.wav", wav), model="cascade", response_format="text").strip().lower().startswith(SAID)


@pytest.mark.parametrize("model", ["reader", "prompts"])
def test_words_have_times(client, wav, clip, model):
    answer = validated(
        client.audio.transcriptions.create(file=("clip.wav", wav), model=model, language="en", response_format="verbose_json", timestamp_granularities=["word", "segment"])
    )
    assert answer.language == "english" and answer.duration == pytest.approx(clip.duration_s, abs=0.01)
    assert " ".join(word.word for word in answer.words) == answer.text
    starts = [word.start for word in answer.words]
    assert starts == sorted(starts) and starts[0] >= 0 and answer.words[-1].end <= clip.duration_s + 0.01
    (segment,) = answer.segments
    assert segment.text == answer.text and -2 < segment.avg_logprob < 0 and segment.no_speech_prob < 0.5 and 0 < segment.compression_ratio < 2.4


def test_the_language_is_told_where_the_client_does_not(client, server, tmp_path):
    """Of a recording as a browser makes it; the translation of English is its transcript."""
    spoken = {u.id: alm.read_audio(u.audio) for u in Parts.of("prompts").utterances("test") if u.id in ("es/vm-undelete", "en/privacy-incorrect")}
    spanish, english = (spoken[name] for name in ("es/vm-undelete", "en/privacy-incorrect"))
    webm = recorded(tmp_path / "voice.webm", spanish)
    answer = validated(client.audio.transcriptions.create(file=webm, model="prompts", response_format="verbose_json"))
    model = server.app.state.alm.model("prompts").pipeline
    assert answer.language == "spanish" and jiwer.wer(model.transcribe(alm.read_audio(webm), "es"), answer.text) < 0.2
    english_text = client.audio.transcriptions.create(file=("a.flac", encoded(english, "flac")), model="prompts").text
    assert client.audio.translations.create(file=("a.flac", encoded(english, "flac")), model="prompts").text == english_text == model.transcribe(english, "en")
    with pytest.raises(AlmError, match="to tell languages"):
        State(ServeOptions({"reader": "prompts-reader"}, language_by="prompts-vad"))


def test_subtitles(client, wav):
    srt = client.audio.transcriptions.create(file=("clip.wav", wav), model="reader", response_format="srt")
    assert re.match(r"1\n00:00:0\d,\d{3} --> 00:00:0\d,\d{3}\n\w+", srt)
    vtt = client.audio.transcriptions.create(file=("clip.wav", wav), model="reader", response_format="vtt")
    assert vtt.startswith("WEBVTT\n\n00:00:0")


def test_a_transcript_comes_as_it_is_written(client, wav):
    whole = client.audio.transcriptions.create(file=("clip.wav", wav), model="prompts", language="en").text
    events = list(client.audio.transcriptions.create(file=("clip.wav", wav), model="prompts", language="en", stream=True))
    assert [event.type for event in events] == ["transcript.text.delta"] * (len(events) - 1) + ["transcript.text.done"]
    assert len(events) > 3, "word by word"
    assert "".join(event.delta for event in events[:-1]) == events[-1].text == whole


def test_a_long_recording_is_heard_whole(client):
    spoken = [u for u in Parts.of("prompts-reader").utterances("dev") if u.language == "en"][:12]
    clips = [alm.read_audio(u.audio) for u in spoken]
    rate = clips[0].sample_rate_hz
    long = Audio(torch.cat([part for clip in clips for part in (clip.samples, torch.zeros(1, rate))], 1), rate)
    assert long.duration_s > 30
    answer = client.audio.transcriptions.create(file=("long.flac", encoded(long, "flac")), model="cascade", language="en", response_format="verbose_json")
    wanted, heard = (normalize_text(text, "en") for text in (" ".join(u.text for u in spoken), answer.text))
    assert jiwer.wer(wanted, heard) < 0.15 and len(answer.segments) > 1
    ends = [(segment.start, segment.end) for segment in answer.segments]
    assert ends == sorted(ends) and ends[-1][1] > long.duration_s - 3
    streamed = list(client.audio.transcriptions.create(file=("long.flac", encoded(long, "flac")), model="cascade", language="en", stream=True))
    assert streamed[-1].text == answer.text and len(streamed) == len(answer.segments) + 1


def test_speech_is_translated(client, server):
    parts = Parts.of("prompts-reader")
    clip = alm.read_audio(next(u.audio for u in parts.utterances("test") if u.language == "es"))
    answer = validated(client.audio.translations.create(file=("clip.flac", encoded(clip, "flac")), model="prompts", extra_body={"language": "es"}))
    assert answer.text == server.app.state.alm.model("prompts").pipeline.translate(clip, "es", "en") != ""
    verbose = validated(client.audio.translations.create(file=("clip.flac", encoded(clip, "flac")), model="prompts", response_format="verbose_json", extra_body={"language": "es"}))
    assert verbose.language == "english" and verbose.segments[0].avg_logprob < 0


@pytest.mark.parametrize("kind", ["wav", "flac", "opus", "mp3", "aac", "pcm"])
def test_speech_in_every_format(client, server, kind):
    made = client.audio.speech.create(input=TEXT, model="prompts", voice="allison", response_format=kind)
    assert made.response.headers["content-type"] == FORMATS[kind].media_type
    data = made.read()
    wanted = server.app.state.alm.model("prompts").pipeline.speak(TEXT, "en")
    if kind == "pcm":
        samples, rate = np.frombuffer(data, np.int16) / 32768, 24_000
    elif kind == "aac":
        import av

        with av.open(io.BytesIO(data)) as file:
            samples, rate = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)]), file.streams.audio[0].rate
    else:
        samples, rate = sf.read(io.BytesIO(data))
    assert len(samples) / rate == pytest.approx(wanted.duration_s, abs=0.15)
    if kind in ("wav", "flac"):
        assert rate == wanted.sample_rate_hz and np.abs(samples - wanted.samples[0].numpy().clip(-1, 1)).max() < 1e-3, "what the pipeline gives, in 16 bit"
    assert np.abs(samples).max() > 0.05


def test_sound_comes_before_it_is_whole(client):
    started, arrived = time.perf_counter(), []
    long = "Please enter your password, then press the pound key. Your call is important to us. Please hold. Thank you for calling, good bye."
    with client.audio.speech.with_streaming_response.create(input=long, model="prompts", voice="default", response_format="wav") as answer:
        for data in answer.iter_bytes(1024):
            arrived.append((time.perf_counter() - started, len(data)))
    assert sum(size for _, size in arrived) > 50_000
    assert arrived[0][0] < arrived[-1][0] / 2, "half of it is still being made when the first is there"


def test_speech_as_events(client, server):
    with client.audio.speech.with_streaming_response.create(input=TEXT, model="prompts", voice="default", response_format="pcm", stream_format="sse") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line]
    assert [event["type"] for event in events] == ["speech.audio.delta"] * (len(events) - 1) + ["speech.audio.done"]
    sound = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
    assert sound == client.audio.speech.create(input=TEXT, model="prompts", voice="default", response_format="pcm").read()
    assert events[-1]["usage"]["output_tokens"] > 10


def test_a_conversation(client, wav):
    recording = {"type": "input_audio", "input_audio": {"data": base64.b64encode(wav).decode(), "format": "wav"}}
    messages = [
        {"role": "system", "content": "You are brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is said?"}, recording]},
        {"role": "assistant", "content": "A prompt."},
        {"role": "user", "content": [recording]},
    ]
    answer = validated(client.chat.completions.create(model="cascade", messages=messages))
    assert answer.choices[0].message.role == "assistant" and answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    chunks = [validated(chunk) for chunk in client.chat.completions.create(model="cascade", messages=messages, stream=True, stream_options={"include_usage": True})]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == answer.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == "stop" and chunks[-1].usage == answer.usage
    sampled = [client.chat.completions.create(model="cascade", messages=messages, temperature=1.5, seed=seed).choices[0].message.content for seed in (1, 1, 2)]
    assert sampled[0] == sampled[1] != sampled[2]


def test_an_answer_in_sound(client):
    spoken = validated(
        client.chat.completions.create(model="cascade", messages=[{"role": "user", "content": "Hello."}], modalities=["text", "audio"], audio={"voice": "default", "format": "wav"})
    )
    message = spoken.choices[0].message
    samples, rate = sf.read(io.BytesIO(base64.b64decode(message.audio.data)))
    assert message.content is None and message.audio.transcript and len(samples) / rate > 0.3
    chunks = list(
        client.chat.completions.create(
            model="cascade", messages=[{"role": "user", "content": "Hello."}], modalities=["text", "audio"], audio={"voice": "default", "format": "pcm16"}, stream=True
        )
    )
    audio = [chunk.choices[0].delta.model_dump().get("audio") or {} for chunk in chunks]
    assert "".join(part.get("transcript") or "" for part in audio) == message.audio.transcript
    pcm = b"".join(base64.b64decode(part["data"]) for part in audio if part.get("data"))
    assert len(pcm) / 2 / 24_000 == pytest.approx(len(samples) / rate, rel=0.15)  # the voice draws how long it holds each sound


def test_what_is_served(client):
    listed = client.models.list().data
    assert [model.id for model in listed] == ["prompts", "reader", "cascade"]
    assert validated(client.models.retrieve("prompts")).model_dump()["voices"] == ["allison", "allison-es", "june", "carlo", "ivrvoice"]
    with pytest.raises(openai.NotFoundError, match="prompts"):
        client.models.retrieve("promts")


@pytest.mark.parametrize(
    ("ask", "error", "says"),
    [
        (lambda c, wav: c.audio.transcriptions.create(file=("a.wav", wav), model="promts"), openai.NotFoundError, "did you mean prompts"),
        (lambda c, wav: c.audio.transcriptions.create(file=("a.wav", wav[:900]), model="prompts"), openai.BadRequestError, "a.wav, which is truncated"),
        (lambda c, wav: c.audio.transcriptions.create(file=("a.wav", b"RIFF no sound"), model="prompts"), openai.BadRequestError, "a.wav, which cannot be decoded"),
        (lambda c, wav: c.audio.transcriptions.create(file=("a.wav", b""), model="prompts"), openai.BadRequestError, "empty"),
        (lambda c, wav: c.audio.transcriptions.create(file=("a.wav", wav), model="prompts", language="xx"), openai.BadRequestError, "language 'xx'"),
        (lambda c, wav: c.audio.transcriptions.create(file=("a.wav", wav), model="prompts", response_format="diarized_json"), openai.BadRequestError, "response_format"),
        (
            lambda c, wav: c.audio.transcriptions.create(file=("a.wav", wav), model="cascade", response_format="verbose_json", timestamp_granularities=["word"]),
            openai.BadRequestError,
            "CTC head",
        ),
        (lambda c, wav: c.audio.speech.create(input="Hello.", model="prompts", voice="alloy"), openai.BadRequestError, "voice 'alloy'"),
        (lambda c, wav: c.audio.speech.create(input=" ", model="prompts", voice="default"), openai.BadRequestError, "without a word"),
        (lambda c, wav: c.audio.speech.create(input="a" * 5000, model="prompts", voice="default"), openai.BadRequestError, "5000 characters"),
        (lambda c, wav: c.audio.speech.create(input="Hello.", model="reader", voice="default"), openai.BadRequestError, "TTS"),
        (lambda c, wav: c.chat.completions.create(model="cascade", messages=[{"role": "user", "content": "Hello."}], n=2), openai.BadRequestError, "n=2"),
        (lambda c, wav: c.chat.completions.create(model="cascade", messages=[]), openai.BadRequestError, "messages"),
        (
            lambda c, wav: c.chat.completions.create(
                model="cascade", messages=[{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "?", "format": "wav"}}]}]
            ),
            openai.BadRequestError,
            "no base64",
        ),
        (
            lambda c, wav: c.chat.completions.create(model="cascade", messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]),
            openai.BadRequestError,
            "messages",
        ),
    ],
)
def test_what_cannot_be_done_says_so(client, wav, ask, error, says):
    with pytest.raises(error, match=re.escape(says)):
        ask(client, wav)


def test_every_route_wants_the_key(server):
    routes = [(method.upper(), path) for path, methods in server.app.openapi()["paths"].items() for method in methods]
    assert len(routes) >= 8
    routes += [("GET", path) for path in ("/docs", "/redoc", "/openapi.json", "/nowhere")]
    for method, path in routes:
        for header in ({}, {"Authorization": "Bearer a-kez"}, {"Authorization": KEY}):
            answer = httpx.request(method, server.url + path.replace("{name:path}", "prompts"), headers=header)
            assert answer.status_code == 401 and answer.json()["error"]["type"] == "authentication_error"
    assert httpx.get(f"{server.url}/health", headers={"Authorization": f"bearer {KEY}"}).json()["status"] == "ok"
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="another", max_retries=0).models.list()


def test_too_large_a_body_is_refused(server):
    limit = server.app.state.alm.options.max_body_bytes

    def unending():
        while True:
            yield b"x" * (1 << 20)

    headers = {"Authorization": f"Bearer {KEY}"}
    promising = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    promising.putrequest("POST", "/v1/audio/speech")
    for name, value in {**headers, "Content-Length": str(limit + 1)}.items():
        promising.putheader(name, value)
    promising.endheaders()
    assert promising.getresponse().status == 413, "before any of it is sent"
    with httpx.Client() as client:
        try:
            answer = client.post(f"{server.url}/v1/audio/speech", headers=headers, content=unending())
            assert answer.status_code == 413
        except httpx.TransportError:
            pass  # the server has closed while more was being sent
    assert httpx.get(f"{server.url}/health", headers=headers).json()["requests"] == 0


def test_sixteen_clients_get_their_own_answers(client, server):
    served = server.app.state.alm.model("prompts")
    parts = Parts.of("prompts-reader")
    clips = [alm.read_audio(u.audio) for u in parts.utterances("dev") if u.language == "en"][:16]
    alone = [served.pipeline.transcribe(clip, "en") for clip in clips]
    assert len(set(alone)) > 12
    sizes, answer = [], served.batcher.answer
    served.batcher.answer = lambda requests: sizes.append(len(requests)) or answer(requests)
    together = threading.Barrier(16)

    def ask(clip: Audio) -> str:
        together.wait()
        return client.audio.transcriptions.create(file=("clip.flac", encoded(clip, "flac")), model="prompts", language="en").text

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, clips)) == alone
    served.batcher.answer = answer
    assert sum(sizes) == 16 and max(sizes) > 4, f"they are answered together, not one by one: {sizes}"


def test_one_that_fails_does_not_take_others_with_it(server, clip):
    batcher = server.app.state.alm.model("prompts").batcher

    async def together():
        asked = (Request("ASR", clip, language) for language in ("en", "xx", "en"))
        here = Batcher(batcher.answer, 16, 0.05)
        found = await asyncio.gather(*map(here.ask, asked), return_exceptions=True)
        await here.close()
        return found

    found = asyncio.run(together())
    assert isinstance(found[1], AlmError) and "xx" in str(found[1]) and found[0].text == found[2].text


def test_what_makes_no_difference_is_named(client, wav):
    raw = client.audio.transcriptions.with_raw_response.create(file=("clip.wav", wav), model="reader", language="en", prompt="Asterisk", temperature=0.5)
    assert raw.headers["X-Alm-Ignored"] == "prompt, temperature"
    assert "X-Alm-Ignored" not in client.audio.transcriptions.with_raw_response.create(file=("clip.wav", wav), model="reader", language="en").headers
    spoken = client.audio.speech.with_raw_response.create(input="Hello.", model="prompts", voice="default", instructions="Whisper.", response_format="pcm")
    assert spoken.headers["X-Alm-Ignored"] == "instructions"
    answer = client.chat.completions.with_raw_response.create(model="cascade", messages=[{"role": "user", "content": "Hello."}], max_tokens=3, presence_penalty=0.5)
    assert "presence_penalty" in answer.headers["X-Alm-Ignored"]


def test_counters(server):
    text = httpx.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {KEY}"}).text
    assert re.search(r'alm_requests_total\{route="/v1/audio/transcriptions",status="200"\} \d', text)
    assert float(re.search(r"^alm_heard_seconds_total (\S+)", text, re.M)[1]) > 1


def test_more_than_may_wait_are_told_to_come_again(wav):
    small = Server(ServeOptions({"reader": "prompts-reader"}, running=1, waiting=1))
    state = small.app.state.alm
    answer, go = state.model("reader").batcher.answer, threading.Event()

    def slowly(requests):
        go.wait(30)
        return answer(requests)

    state.model("reader").batcher.answer = slowly
    with openai.OpenAI(base_url=f"{small.url}/v1", api_key="none", max_retries=0) as client, ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(client.audio.transcriptions.create, file=("clip.wav", wav), model="reader") for _ in range(2)]
        while state.admission.inside < 2:
            time.sleep(0.01)
        with pytest.raises(openai.RateLimitError) as refused:
            client.audio.transcriptions.create(file=("clip.wav", wav), model="reader")
        assert int(refused.value.response.headers["retry-after"]) > 0
        go.set()
        assert all(future.result().text for future in waiting)
    assert state.admission.inside == 0
    small.stop()


def test_who_leaves_frees_their_place(server):
    state = server.app.state.alm
    long = "Please enter your password, then press the pound key. Your call is important to us. Please hold. " * 4
    with (
        httpx.Client(headers={"Authorization": f"Bearer {KEY}"}) as client,
        client.stream("POST", f"{server.url}/v1/audio/speech", json={"input": long, "model": "prompts", "response_format": "pcm"}) as answer,
    ):
        next(answer.iter_bytes(512))
        assert state.admission.inside == 1
    until = time.perf_counter() + 20
    while state.admission.inside and time.perf_counter() < until:
        time.sleep(0.05)
    assert state.admission.inside == 0


@pytest.mark.parametrize("kind", list(FORMATS))
def test_pieces_join_to_the_file(kind):
    sound = Audio(0.5 * torch.sin(torch.arange(16_000)[None] / 16_000 * 2 * torch.pi * 440), 16_000)
    encoder = SoundEncoder(kind, 16_000)
    pieces = [encoder.add(Audio(sound.samples[:, start : start + 3_000], 16_000)) for start in range(0, 16_000, 3_000)]
    if not FORMATS[kind].whole:
        assert any(pieces), "something can be sent before the end"
    assert len(b"".join(pieces) + encoder.finish()) == pytest.approx(len(encoded(sound, kind)), rel=0.02)
