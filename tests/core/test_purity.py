"""Purity: against its definition, with labels at another rate, and what it refuses."""

import math

import pytest
import torch

from alm.api.errors import AlmError
from alm.core.purity import purity


def test_units_that_are_the_labels_are_pure():
    codes = torch.tensor([3, 3, 1, 0, 2, 1])
    found = purity([codes], [codes])
    assert found.label_purity == found.cluster_purity == pytest.approx(1.0)
    assert found.normalized_mutual_information == pytest.approx(1.0)
    assert found.frames == 6


def test_figures_follow_their_definition():
    units, labels = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1]), torch.tensor([0, 0, 1, 1, 1, 1, 2, 0])
    found = purity([units[:3], units[3:]], [labels[:3], labels[3:]])
    assert found.label_purity == pytest.approx((2 + 3) / 8)  # unit 0 says label 0 twice, unit 1 says label 1 three times
    assert found.cluster_purity == pytest.approx((2 + 3 + 1) / 8)

    def entropy(*counts):
        return -sum(c / 8 * math.log(c / 8) for c in counts)

    information = entropy(3, 4, 1) + entropy(3, 5) - entropy(2, 1, 3, 1, 1)
    assert found.normalized_mutual_information == pytest.approx(information / entropy(3, 4, 1))
    assert found.perplexity == pytest.approx(math.exp(entropy(3, 5)))


def test_units_that_say_nothing_tell_nothing():
    units = torch.zeros(1000, dtype=torch.int64)
    found = purity([units], [torch.arange(1000) % 4])
    assert found.normalized_mutual_information == pytest.approx(0.0, abs=1e-9)
    assert found.label_purity == pytest.approx(0.25)


def test_labels_come_at_any_rate_and_negative_ones_are_left_out():
    units, labels = torch.tensor([5, 6, 7]), torch.tensor([-1, -1, 1, 1, 2, 2])
    found = purity([units], [labels])
    assert found.frames == 2 and found.normalized_mutual_information == pytest.approx(1.0)


@pytest.mark.parametrize(("units", "labels"), [([torch.tensor([1])], []), ([torch.tensor([1])], [torch.tensor([-1])]), ([], [])])
def test_nothing_to_count_is_refused(units, labels):
    with pytest.raises(AlmError):
        purity(units, labels)
