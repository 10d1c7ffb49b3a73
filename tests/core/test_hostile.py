"""A short, fixed part of `make soak`: files as an attacker makes them are read or refused, and nothing fails."""

from __future__ import annotations

import pytest

from alm import read_audio
from alm.api.errors import AlmError
from tests.soak.hostile import FAILED, extreme, mutated, through_the_reader


def test_hostile_files_are_read_or_refused(tmp_path):
    count = 400
    found = through_the_reader(count, tmp_path, silence_min=2)
    assert found["read"] + found["refused"] == count + len(list(extreme(2)))
    assert found["read"] > 50 and found["refused"] > 50, "the cases are neither all harmless nor all hopeless"
    assert not found[FAILED] and not found["slow"], sorted(tmp_path.iterdir())


@pytest.mark.parametrize("number", [1097, 2320])
def test_a_container_of_an_unknown_codec_is_refused(tmp_path, number):
    """Found by `make soak`: the reader ended in an AttributeError."""
    kind, data = mutated(number)
    path = tmp_path / f"a.{kind}"
    path.write_bytes(data)
    with pytest.raises(AlmError, match="codec is not known"):
        read_audio(path)
