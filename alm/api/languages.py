"""Names of languages, as prompts write them."""

LANGUAGES = {
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "ru": "Russian",
    "de": "German",
    "zh": "Chinese",
    "ja": "Japanese",
    "pt": "Portuguese",
    "nl": "Dutch",
}


def language_name(code: str) -> str:
    """The English name of an ISO 639-1 code; the code itself where none is known."""
    return LANGUAGES.get(code, code)


def language_code(name: str) -> str:
    """The ISO 639-1 code of an English name; what was given where none is known."""
    return next((code for code, known in LANGUAGES.items() if known == name), name)
