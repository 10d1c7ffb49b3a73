"""Tasks on what is said: those of AudioPaLM (arXiv 2306.12925), speech as it is and its continuation (GSLM, arXiv 2102.01192), edits of speech."""

from alm.api.cards import TaskCard

TASKS = (
    TaskCard(
        "ASR",
        ("source.audio",),
        ("source.text",),
        ("wer", "cer"),
        "speech recognition",
        ("Write down what you hear in {source}.", "Transcribe this {source} speech.", "Which words are said here? The language is {source}.", "Turn the recording into text."),
    ),
    TaskCard(
        "SRWT",
        ("source.audio",),
        ("source.marks.words",),
        ("mark_shift", "mark_f1"),
        "speech recognition with word timestamps",
        ("Write down each word and when it is said.", "Transcribe this {source} speech with the start and the end of every word."),
    ),
    TaskCard(
        "AST",
        ("source.audio",),
        ("target.text",),
        ("bleu", "chrf"),
        "speech to text translation",
        ("Translate this {source} speech into {target} text.", "Write in {target} what is said.", "What does this recording say, in {target}?"),
    ),
    TaskCard(
        "MT",
        ("source.text",),
        ("target.text",),
        ("bleu", "chrf"),
        "text translation",
        ("Translate this from {source} into {target}.", "Write this sentence in {target}.", "How is this said in {target}?"),
    ),
    TaskCard(
        "TTS",
        ("source.text",),
        ("source.audio",),
        ("asr_wer", "asr_cer"),
        "text to speech",
        ("Read this out loud.", "Say this sentence in {source}.", "Speak the following text.", "Turn this text into speech."),
    ),
    TaskCard(
        "S2ST",
        ("source.audio",),
        ("target.audio",),
        ("asr_bleu", "asr_chrf"),
        "speech to speech translation",
        ("Say this in {target}.", "Translate this {source} speech into {target} speech.", "Repeat what you hear, in {target}."),
    ),
    TaskCard("TEXT", (), ("source.text",), (), "text as it is: what a language model learns from", ("Write a sentence.", "Write anything in {source}.")),
    TaskCard(
        "SPEECH", (), ("source.audio",), ("dnsmos", "generative_perplexity"), "speech as it is: what a model of units learns from", ("Say something.", "Say anything in {source}.")
    ),
    TaskCard(
        "CONTINUE",
        ("source.audio.head",),
        ("source.audio.tail",),
        ("dnsmos", "generative_perplexity"),
        "speech continuation",
        ("Go on speaking from here.", "Continue this recording.", "Finish what is being said."),
    ),
    TaskCard(
        "EDIT",
        ("source.audio", "target.label.text"),
        ("target.audio",),
        ("asr_wer", "asr_cer"),
        "speech editing: the same voice says another text",
        ("Change the recording so that it says the given text.", "Say this text instead, in the same way."),
        "edit",
    ),
    TaskCard(
        "VC",
        ("source.audio", "target.label.speaker"),
        ("target.audio",),
        ("asr_wer", "asr_cer"),
        "voice conversion: the same words by a named voice",
        ("Say the same in the voice that is named.", "Convert this speech to another voice."),
        "rendering",
    ),
    TaskCard(
        "SUMMARY",
        ("source.audio",),
        ("source.label.summary",),
        ("rouge_l", "bleu"),
        "speech summary",
        ("Sum up what is said.", "Give the gist of this recording in a sentence.", "What is this about, in short?"),
    ),
)
