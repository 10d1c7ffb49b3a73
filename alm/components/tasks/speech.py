"""The tasks of AudioPaLM (arXiv 2306.12925) and speech continuation (GSLM, arXiv 2102.01192), as cards."""

from alm.api.cards import TaskCard

TASKS = (
    TaskCard("ASR", "source.audio", ("source.text",), ("wer", "cer"), "speech recognition"),
    TaskCard("AST", "source.audio", ("target.text",), ("bleu", "chrf"), "speech to text translation"),
    TaskCard("MT", "source.text", ("target.text",), ("bleu", "chrf"), "text translation"),
    TaskCard("TTS", "source.text", ("source.audio",), ("asr_wer", "asr_cer"), "text to speech"),
    TaskCard("S2ST", "source.audio", ("target.audio",), ("asr_bleu", "asr_chrf"), "speech to speech translation"),
    TaskCard("CONTINUE", "source.audio.head", ("source.audio.tail",), ("dnsmos",), "speech continuation"),
)
