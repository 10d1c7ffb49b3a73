"""Before a route sees a request: the key, and how large it may be. ASGI middleware, so that it covers every route, also those of the documentation."""

from __future__ import annotations

import hmac
from typing import Any

from alm.serve.errors import error_response

BEARER = "bearer "


class Guard:
    """
    Args:
        api_key: that every request must carry; "" asks for none.
        max_body_bytes: of a request; a longer one is refused as soon as that many have come.
    """

    def __init__(self, app: Any, api_key: str, max_body_bytes: int) -> None:
        self.app, self.api_key, self.max_body_bytes = app, api_key.encode(), max_body_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if self.api_key and not self._knows(headers.get(b"authorization", b"")):
            fix = 'send "Authorization: Bearer KEY"'
            await error_response(f"got no valid API key. Fix: {fix}.", 401, headers={"WWW-Authenticate": "Bearer"})(scope, receive, send)
            return
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self.max_body_bytes:
            await self._too_large()(scope, receive, send)
            return
        came, answered, refused = 0, False, False

        async def counted() -> Any:
            nonlocal came, refused
            message = await receive()
            came += len(message.get("body", b""))
            if came > self.max_body_bytes:
                refused = True
                return {"type": "http.disconnect"}  # whoever reads the body stops here
            return message

        async def watched(message: Any) -> None:
            nonlocal answered
            if refused and not answered:
                return  # what the route says about a body that it could not read
            answered = True
            await send(message)

        try:
            await self.app(scope, counted, watched)
        except Exception:
            if not refused:
                raise
        if refused and not answered:
            await self._too_large()(scope, receive, send)

    def _knows(self, header: bytes) -> bool:
        scheme, key = header[: len(BEARER)].decode("latin-1").lower(), header[len(BEARER) :]
        return scheme == BEARER and hmac.compare_digest(key, self.api_key)

    def _too_large(self) -> Any:
        return error_response(f"got a request of more than {self.max_body_bytes} bytes. Fix: send shorter recordings.", 413, headers={"Connection": "close"})
