"""The HTTP API: models behind the endpoints that OpenAI's clients speak. A shell over pipelines, no logic of its own.

One idea a file: `batcher` (requests that arrive together are answered together), `admission` (how much may wait), `sounds` (uploads in, sound out),
`guard` (key, sizes), `errors`, `events`, a file for each family of routes, and `app`, which puts them together.
"""
