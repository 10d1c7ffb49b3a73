"""Tasks that say something about a recording of speech: who speaks, how, and what is meant. Answers are labels of the utterance."""

from alm.api.cards import TaskCard

HEARD = ("source.audio",)
TASKS = (
    TaskCard("LID", HEARD, ("source.label.language",), ("accuracy", "macro_f1"), "language identification", ("Which language is spoken?", "Name the language of this recording.")),
    TaskCard("SID", HEARD, ("source.label.speaker",), ("accuracy", "macro_f1"), "speaker identification", ("Who is speaking?", "Name the speaker.")),
    TaskCard(
        "SV",
        ("source.audio", "source.other"),
        ("source.label.same_speaker",),
        ("accuracy", "macro_f1"),
        "speaker verification: yes or no",
        ("Do both recordings have the same speaker? Answer yes or no.", "Is it one person who speaks in both clips?"),
    ),
    TaskCard("GENDER", HEARD, ("source.label.gender",), ("accuracy", "macro_f1"), "speaker gender", ("Is the speaker a woman or a man?", "What is the gender of the speaker?")),
    TaskCard("AGE", HEARD, ("source.label.age",), ("accuracy", "macro_f1"), "speaker age group", ("How old does the speaker sound?", "Name the age group of the speaker.")),
    TaskCard("EMOTION", HEARD, ("source.label.emotion",), ("accuracy", "macro_f1"), "speech emotion", ("Which emotion is in the voice?", "How does the speaker feel?")),
    TaskCard(
        "SENTIMENT",
        HEARD,
        ("source.label.sentiment",),
        ("accuracy", "macro_f1"),
        "sentiment of speech",
        ("Identify the sentiment of the speech.", "Is what is said positive, negative or neutral?"),
    ),
    TaskCard("KWS", HEARD, ("source.label.keyword",), ("accuracy", "macro_f1"), "keyword spotting", ("Which keyword is said?", "Name the command word in this recording.")),
    TaskCard("INTENT", HEARD, ("source.label.intent",), ("accuracy", "macro_f1"), "intent of a request", ("What does the speaker want?", "Name the intent of this request.")),
    TaskCard(
        "ENTITIES",
        HEARD,
        ("source.label.entities",),
        ("set_f1",),
        "entities of a request",
        ("Which slots does this request fill?", "List the entities of this request with their values."),
    ),
    TaskCard(
        "NER",
        HEARD,
        ("source.label.named_entities",),
        ("set_f1",),
        "named entities in speech",
        ("Which names are mentioned?", "List people, places and organizations that you hear."),
    ),
    TaskCard("VAD", HEARD, ("source.marks.speech",), ("mark_f1", "mark_shift"), "voice activity", ("When does someone speak?", "Mark where there is speech.")),
    TaskCard("OSD", HEARD, ("source.marks.overlaps",), ("mark_f1", "mark_shift"), "overlapped speech", ("When do two people speak at once?", "Mark where voices overlap.")),
)
