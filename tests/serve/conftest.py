"""A server on loopback with the shipped models, and OpenAI's own client."""

from __future__ import annotations

import io
import threading
import time

import pytest
import soundfile as sf

openai = pytest.importorskip("openai", reason="the server is tested with OpenAI's client: pip install openai")

from alm.serve.options import ServeOptions

KEY = "a-key"


class Server:
    """One in a thread; `url` where it listens."""

    def __init__(self, options: ServeOptions) -> None:
        import uvicorn

        from alm.serve.app import create_app

        self.app = create_app(options)
        self.server = uvicorn.Server(uvicorn.Config(self.app, host="127.0.0.1", port=0, log_level="warning"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.02)
        self.url = f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()


@pytest.fixture(scope="session")
def server(workspace, small_cascade):
    running = Server(ServeOptions({"prompts": "prompts", "reader": "prompts-reader", "cascade": small_cascade}, api_key=KEY, language_by="prompts-languages"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def wav(clip) -> bytes:
    """The clip as bytes of a wav file."""
    file = io.BytesIO()
    sf.write(file, clip.samples[0].numpy(), clip.sample_rate_hz, format="WAV")
    return file.getvalue()
