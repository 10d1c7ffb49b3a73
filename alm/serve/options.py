"""What a server is told when it starts. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

MB = 1 << 20


@dataclass(frozen=True)
class ServeOptions:
    """Attributes:
    models: what clients name -> a registered model, a checkpoint folder or a recipe; the first stands for requests that name none.
    api_key: that every route asks for, as `Authorization: Bearer KEY`; "" asks for none.
    language: of what is heard or said where a request does not tell.
    language_by: a model that tells the language of a recording where a request does not (prompts-languages); "" takes it to be `language`.
    detector: a registered speech detector, or a model that tells speech, by which long recordings are cut.
    max_upload_mb, max_duration_s: of a recording.
    max_characters: of a text that is to be spoken, and of all messages of a conversation.
    batch_wait_s: how long a request waits for others to be answered with it, when the model is idle.
    running, waiting: requests that are answered at the same time, and that may wait besides; one more is refused with 429.
    request_s: after which a request is given up with 504.
    """

    models: dict[str, str] = field(default_factory=lambda: {"prompts": "prompts"})
    api_key: str = ""
    language: str = "en"
    language_by: str = ""
    detector: str = "silero"
    max_upload_mb: int = 25
    max_duration_s: float = 3600.0
    max_characters: int = 4096
    batch_wait_s: float = 0.01
    running: int = 16
    waiting: int = 64
    request_s: float = 600.0

    @property
    def max_body_bytes(self) -> int:
        """Of any request: a recording may come in base64, beside other fields."""
        return int(self.max_upload_mb * MB * 4 / 3) + MB
