"""alm's own conformance checks, run against this plugin's parts."""

import MODULE
from alm.api.tasks import DeclaredTask
from alm.api.testing import check_task, check_tokenizer


def test_tokenizer_conforms():
    check_tokenizer(MODULE.load_tokenizer(None, None))


def test_task_conforms():
    cards = []
    MODULE.register_tasks(lambda name, card: cards.append(card))
    check_task(DeclaredTask(cards[0]))
