"""What a server tells of itself: /v1/models, /health, /metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

from alm.serve.served import Served
from alm.serve.state import state_of

router = APIRouter(tags=["about"])


@router.get("/v1/models")
async def models(request: Request) -> dict[str, Any]:
    """The models that are served."""
    return {"object": "list", "data": [_model(served) for served in state_of(request).models.values()]}


@router.get("/v1/models/{name:path}")
async def model(request: Request, name: str) -> dict[str, Any]:
    """One of them."""
    return _model(state_of(request).model(name))


@router.get("/health")
async def health(request: Request) -> dict[str, Any]:
    """Whether the server is there, and how much waits."""
    state = state_of(request)
    return {"status": "ok", "models": list(state.models), "requests": state.admission.inside}


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Counters for Prometheus."""
    state = state_of(request)
    state.metrics.inside.set(state.admission.inside)
    return Response(state.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _model(served: Served) -> dict[str, Any]:
    pipeline = served.pipeline
    described = {"description": pipeline.recipe.description, "tasks": pipeline.tasks, "languages": list(pipeline.languages), "voices": list(served.voices)}
    return {"id": served.name, "object": "model", "created": served.created, "owned_by": "alm", **described}
