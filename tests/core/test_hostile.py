"""A short, fixed part of `make soak`: files as an attacker makes them are read or refused, and nothing fails."""

from __future__ import annotations

from tests.soak.hostile import FAILED, extreme, through_the_reader


def test_hostile_files_are_read_or_refused(tmp_path):
    count = 400
    found = through_the_reader(count, tmp_path, silence_min=2)
    assert found["read"] + found["refused"] == count + len(list(extreme(2)))
    assert found["read"] > 50 and found["refused"] > 50, "the cases are neither all harmless nor all hopeless"
    assert not found[FAILED] and not found["slow"], sorted(tmp_path.iterdir())
