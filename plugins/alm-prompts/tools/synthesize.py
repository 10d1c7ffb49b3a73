"""Speaks sentences of the domain with local synthesizers: more training speech, never test speech.

    python tools/build_pairs.py --out /tmp/pairs.jsonl.gz --work /tmp/pairs
    python tools/synthesize.py --pairs /tmp/pairs.jsonl.gz --out /tmp/synth --english 3000 --others 800

Sentences are the best-scored parallel strings of the pairs file and menu lines made from templates; voices are espeak-ng
and, for English, flite. Writes 16 kHz FLAC, cuts_train.jsonl.gz and pairs_train.jsonl.gz (text without speech, for MT).
Sentences whose normalized text is a prompt of the corpus are left out.
"""

import argparse
import gzip
import json
import random
import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import soundfile as sf
import soxr
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from lhotse.audio import AudioSource

from alm.api.text import normalize_text

DATA = Path(__file__).parents[1] / "src/alm_prompts/data"
LANGUAGES = ("en", "es", "fr", "it", "ru")
FLITE = ("slt", "rms", "awb", "kal16")
ESPEAK = {"en": ("en-us", "en-gb"), "es": ("es-419", "es"), "fr": ("fr-fr",), "it": ("it",), "ru": ("ru",)}
VARIANTS = ("", "+f2", "+f3", "+m3", "+m7", "+klatt", "+f5")
SAMPLE_RATE_HZ = 16_000
MENU = {
    "en": "{verb}, press {digit}.",
    "es": "{verb}, presione {digit}.",
    "fr": "{verb}, appuyez sur le {digit}.",
    "it": "{verb}, premere {digit}.",
    "ru": "{verb}, нажмите {digit}.",
}
TO = {"en": "to {}", "es": "para {}", "fr": "pour {}", "it": "per {}", "ru": "чтобы {}"}
ACTIONS = [
    dict(en="hear the message again", es="escuchar el mensaje otra vez", fr="réécouter le message", it="riascoltare il messaggio", ru="прослушать сообщение ещё раз"),
    dict(en="delete this message", es="borrar este mensaje", fr="effacer ce message", it="cancellare questo messaggio", ru="удалить это сообщение"),
    dict(en="save this message", es="guardar este mensaje", fr="sauvegarder ce message", it="salvare questo messaggio", ru="сохранить это сообщение"),
    dict(en="return to the main menu", es="regresar al menú principal", fr="retourner au menu principal", it="tornare al menu principale", ru="вернуться в главное меню"),
    dict(en="change your password", es="cambiar su contraseña", fr="changer votre mot de passe", it="cambiare la password", ru="изменить пароль"),
    dict(
        en="record a new greeting",
        es="grabar un nuevo saludo",
        fr="enregistrer un nouveau message d'accueil",
        it="registrare un nuovo messaggio di benvenuto",
        ru="записать новое приветствие",
    ),
    dict(en="speak to an operator", es="hablar con un operador", fr="parler à un opérateur", it="parlare con un operatore", ru="поговорить с оператором"),
    dict(en="forward the call", es="transferir la llamada", fr="transférer l'appel", it="inoltrare la chiamata", ru="переадресовать вызов"),
    dict(en="leave the conference", es="salir de la conferencia", fr="quitter la conférence", it="uscire dalla conferenza", ru="выйти из конференции"),
    dict(en="increase the volume", es="aumentar el volumen", fr="augmenter le volume", it="aumentare il volume", ru="увеличить громкость"),
    dict(en="cancel", es="cancelar", fr="annuler", it="annullare", ru="отменить"),
    dict(en="continue", es="continuar", fr="continuer", it="continuare", ru="продолжить"),
]
DIGITS = {
    "en": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "star", "pound"],
    "es": ["cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "asterisco", "numeral"],
    "fr": ["zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "étoile", "dièse"],
    "it": ["zero", "uno", "due", "tre", "quattro", "cinque", "sei", "sette", "otto", "nove", "asterisco", "cancelletto"],
    "ru": ["ноль", "один", "два", "три", "четыре", "пять", "шесть", "семь", "восемь", "девять", "звёздочку", "решётку"],
}


def menu_lines() -> list[dict[str, str]]:
    """Every action with every key, in all languages."""
    lines = []
    for action in ACTIONS:
        for digit in range(12):
            lines.append({lang: MENU[lang].format(verb=TO[lang].format(action[lang]).capitalize(), digit=DIGITS[lang][digit]) for lang in LANGUAGES})
    return lines


def prompt_texts() -> set[str]:
    """Normalized texts of all splits of the corpus."""
    cuts = [cut for split in ("train", "dev", "test") for cut in CutSet.from_file(DATA / f"cuts_{split}.jsonl.gz")]
    return {normalize_text(s.text, s.language, accents=False) for cut in cuts for s in cut.supervisions}


def speak(text: str, language: str, voice: str, target: Path) -> float:
    """One sentence to a 16 kHz FLAC file; returns its duration in seconds."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as wav:
        if voice.startswith("flite:"):
            subprocess.run(["flite", "-voice", voice[6:], "-t", text, "-o", wav.name], check=True, capture_output=True)
        else:
            subprocess.run(["espeak-ng", "-v", voice, "-s", str(random.Random(text).randint(135, 180)), "-w", wav.name, text], check=True, capture_output=True)
        samples, rate = sf.read(wav.name, dtype="float32")
    target.parent.mkdir(parents=True, exist_ok=True)
    resampled = soxr.resample(samples, rate, SAMPLE_RATE_HZ)
    sf.write(target, resampled, SAMPLE_RATE_HZ)
    return len(resampled) / SAMPLE_RATE_HZ


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--english", type=int, default=3000)
    parser.add_argument("--others", type=int, default=800)
    arguments = parser.parse_args()
    known = prompt_texts()
    with gzip.open(arguments.pairs, "rt") as file:
        pairs = [json.loads(line) for line in file]
    pairs = [p for p in pairs if all(normalize_text(p[lang], lang, accents=False) not in known for lang in LANGUAGES if lang in p)]
    menus = menu_lines()
    random.Random(0).shuffle(menus)
    spoken = menus[:120] + [p for p in pairs if 3 <= len(p["en"].split()) <= 16 and not re.search(r"[/<>(){}\[\]]", p["en"])]
    jobs = []
    for index, sentence in enumerate(spoken):
        for language in LANGUAGES:
            if language in sentence and index < (arguments.english if language == "en" else arguments.others):
                choice = random.Random(f"{index}{language}")
                flite = language == "en" and choice.random() < 0.7
                voice = "flite:" + choice.choice(FLITE) if flite else choice.choice(ESPEAK[language]) + choice.choice(VARIANTS)
                jobs.append((f"synth-{index:05}", language, sentence[language], voice))

    def run(job: tuple[str, str, str, str]) -> MonoCut:
        name, language, text, voice = job
        relative = f"audio/{language}/{name}.flac"
        duration_s = speak(text, language, voice, arguments.out / relative)
        identifier = f"{language}/{name}"
        recording = Recording(identifier, [AudioSource("file", [0], relative)], SAMPLE_RATE_HZ, round(duration_s * SAMPLE_RATE_HZ), duration_s)
        supervision = SupervisionSegment(identifier, identifier, 0, duration_s, text=text, language=language, speaker=f"synth-{voice}", custom={"prompt": name})
        return MonoCut(identifier, 0, duration_s, 0, [supervision], recording=recording)

    with ThreadPoolExecutor(2) as pool:
        CutSet.from_cuts(pool.map(run, jobs)).to_file(arguments.out / "cuts_train.jsonl.gz")
    with gzip.open(arguments.out / "pairs_train.jsonl.gz", "wt") as file:
        for pair in menus + pairs:
            file.write(json.dumps(pair, ensure_ascii=False) + "\n")
    print(f"{len(jobs)} clips, {len(menus) + len(pairs)} text pairs")


if __name__ == "__main__":
    main()
