"""Errors as OpenAI's clients read them: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from alm.api.errors import AlmError, did_you_mean

TYPES = {401: "authentication_error", 404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error"}


class Refused(AlmError):
    """A request that is not answered, for a reason with a status of its own.

    Args:
        status: of HTTP.
        retry_s: after which it may be sent again.
    """

    def __init__(self, status: int, got: str, wanted: str = "", fix: str = "", *, retry_s: int | None = None) -> None:
        super().__init__(got, wanted, fix)
        self.status, self.retry_s = status, retry_s


def unknown_model(name: str, known: list[str]) -> Refused:
    return Refused(404, f"got model {name!r}", "a model that is served", did_you_mean(name, known))


def error_body(message: str, status: int, param: str | None = None) -> dict[str, Any]:
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": None}}


def error_response(message: str, status: int, param: str | None = None, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(error_body(message, status, param), status, headers)


def status_of(error: Exception) -> int:
    return error.status if isinstance(error, Refused) else 400 if isinstance(error, AlmError) else 504 if isinstance(error, TimeoutError) else 500


def message_of(error: Exception) -> str:
    """What a client is told: nothing of what went wrong inside."""
    if isinstance(error, AlmError):
        return str(error)
    return "the request took too long. Fix: send less at a time." if isinstance(error, TimeoutError) else "the server failed; its log says why."


def install(app: FastAPI) -> None:
    """Handlers for every error that a route can raise."""

    @app.exception_handler(AlmError)
    @app.exception_handler(TimeoutError)
    async def known(_: Request, error: Exception) -> JSONResponse:
        retry_s = getattr(error, "retry_s", None)
        return error_response(message_of(error), status_of(error), headers=None if retry_s is None else {"Retry-After": str(retry_s)})

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query"))
        return error_response(f"{where}: {first['msg']}", 400, where or None)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return error_response(str(error.detail), error.status_code, headers=dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unknown(_: Request, error: Exception) -> JSONResponse:
        return error_response(message_of(error), 500)
