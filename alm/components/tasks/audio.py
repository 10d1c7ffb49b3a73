"""Tasks on sound of any kind, and on music. Answers are labels of the utterance."""

from alm.api.cards import TaskCard

HEARD = ("source.audio",)
ASKED = ("source.audio", "source.label.question")
TASKS = (
    TaskCard("CAPTION", HEARD, ("source.label.caption",), ("cider", "rouge_l"), "audio captioning", ("Describe what you hear.", "What happens in this recording?")),
    TaskCard("EVENTS", HEARD, ("source.label.events",), ("set_f1",), "sound event classification", ("Which sounds are there?", "List the sound events of this recording.")),
    TaskCard("SCENE", HEARD, ("source.label.scene",), ("accuracy", "macro_f1"), "acoustic scene classification", ("Where was this recorded?", "Name the acoustic scene.")),
    TaskCard(
        "GROUNDING", ASKED, ("source.marks.grounded",), ("mark_f1", "mark_shift"), "audio grounding: when something is heard", ("When is this heard?", "Mark where this sound is.")
    ),
    TaskCard(
        "VOCAL",
        HEARD,
        ("source.label.vocal_sound",),
        ("accuracy", "macro_f1"),
        "vocal sound classification",
        ("Which sound does the person make?", "Is this a cough, a laugh, a sigh or another sound?"),
    ),
    TaskCard(
        "NOTE",
        HEARD,
        ("source.label.note",),
        ("set_f1",),
        "music note analysis: pitch, velocity, instrument",
        ("Analyse this note.", "Name pitch, velocity and instrument of the note."),
    ),
    TaskCard("MUSIC", HEARD, ("source.label.music_caption",), ("cider", "rouge_l"), "music captioning", ("Describe this music.", "What kind of music is this?")),
    TaskCard("AQA", ASKED, ("source.label.answer",), ("accuracy", "rouge_l"), "audio question answering", ("Answer the question about the recording.",)),
    TaskCard("AQA-YN", ASKED, ("source.label.yes_no",), ("accuracy", "macro_f1"), "yes or no question about audio", ("Answer the question about the recording by yes or no.",)),
    TaskCard(
        "AQA-MC",
        ("source.audio", "source.label.question", "source.label.choices"),
        ("source.label.choice",),
        ("choice_accuracy", "accuracy"),
        "multiple choice question about audio",
        ("Choose the right answer to the question about the recording.",),
    ),
)
