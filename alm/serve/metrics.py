"""What is counted for Prometheus, a registry a server."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("alm_requests", "Requests answered.", ["route", "status"], registry=self.registry)
        self.seconds = Histogram("alm_request_seconds", "From a request to the end of its answer.", ["route"], buckets=SECONDS, registry=self.registry)
        self.first = Histogram("alm_first_sound_seconds", "From a request to the first of its sound.", ["route"], buckets=SECONDS, registry=self.registry)
        self.inside = Gauge("alm_requests_inside", "Requests that are answered or wait.", registry=self.registry)
        self.heard = Counter("alm_heard_seconds", "Seconds of speech that were heard.", registry=self.registry)
        self.spoken = Counter("alm_spoken_seconds", "Seconds of speech that were made.", registry=self.registry)

    def text(self) -> bytes:
        return generate_latest(self.registry)
