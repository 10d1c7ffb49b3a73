"""Tasks of question and answer, spoken or written, and dialogue: direct, or by way of text (SpeechGPT's chain of modality)."""

from alm.api.cards import TaskCard

ANSWERED = ("Answer the question.", "Reply to what is said.", "What would you answer?")
TASKS = (
    TaskCard("SQA", ("source.audio",), ("source.label.answer",), ("accuracy", "rouge_l"), "spoken question answering: a spoken question, a written answer", ANSWERED),
    TaskCard(
        "SQA-MC",
        ("source.audio",),
        ("source.label.choice",),
        ("choice_accuracy",),
        "spoken multiple choice question, choices included",
        ("Answer by the letter of the right choice.", "Which choice is right? Answer by its letter."),
    ),
    TaskCard(
        "SQA-ABOUT",
        ("source.audio", "source.label.question"),
        ("source.label.answer",),
        ("accuracy", "rouge_l"),
        "written question about what is said",
        ("Answer the question about the speech.", "Listen, and answer the question."),
    ),
    TaskCard("QA", ("source.label.question",), ("source.label.answer",), ("accuracy", "rouge_l"), "text question answering", ("Answer the question.", "Give the answer.")),
    TaskCard("CHAT", ("source.text",), ("target.text",), ("rouge_l", "bleu"), "written dialogue", pairing="reply"),
    TaskCard(
        "CHAT-T", ("source.audio",), ("target.text",), ("rouge_l", "bleu"), "written reply to speech", ("Answer the question in text.", "Reply to the speaker in writing."), "reply"
    ),
    TaskCard("CHAT-A", ("source.audio",), ("target.audio",), ("asr_wer",), "spoken dialogue, direct", ("Answer the question in audio.", "Reply to the speaker."), "reply"),
    TaskCard(
        "CHAT-TA",
        ("source.audio",),
        ("target.text", "target.audio"),
        ("asr_wer",),
        "spoken dialogue by way of its text",
        ("Answer the question in audio.", "Reply to the speaker, in text and in speech."),
        "reply",
    ),
    TaskCard(
        "CHAT-COM",
        ("source.audio",),
        ("source.text", "target.text", "target.audio"),
        ("asr_wer",),
        "spoken dialogue by the chain of modality: transcript, answer, speech",
        pairing="reply",
    ),
    TaskCard("CHAT-COM-T", ("source.audio",), ("source.text", "target.text"), ("rouge_l", "bleu"), "the chain from speech to text: transcript, answer", pairing="reply"),
    TaskCard("CHAT-COM-A", ("source.text",), ("target.text", "target.audio"), ("asr_wer",), "the chain from text to speech: answer, speech", pairing="reply"),
)
