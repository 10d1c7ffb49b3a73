"""The tasks that ship in the box, as cards: a few lines each, as a plugin would write them."""

from alm.components.tasks import audio, dialogue, speech, understanding

TASKS = (*speech.TASKS, *understanding.TASKS, *audio.TASKS, *dialogue.TASKS)
