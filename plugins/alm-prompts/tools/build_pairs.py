#!/usr/bin/env python3
"""Build short English <-> es/fr/it/ru sentence pairs from Debian translation catalogues.

Downloads the packages listed below with `apt-get download`, unpacks them with
`dpkg-deb -x`, reads the translations they ship (gettext .mo, Qt .qm, Chromium .pak,
MediaWiki .json, Roundcube .inc), keeps plain short sentences, ranks them by closeness
to telephone voice prompts and writes gzipped JSON lines, best first:
    {"en": ..., "es": ..., "fr": ..., "it": ..., "ru": ..., "score": ...}
Needs Debian, Python 3.8+ and nothing outside the standard library.
"""

import argparse
import collections
import gettext
import gzip
import json
import math
import pathlib
import re
import struct
import subprocess
import zlib

PACKAGES = [
    "asterisk-core-sounds-en",
    "gnome-calls",
    "jami",
    "dino-im-common",
    "pidgin-data",
    "gajim",
    "psi-plus-l10n",
    "kde-telepathy-data",
    "chatty",
    "plasma-dialer",
    "spacebar",
    "modem-manager-gui",
    "konversation-data",
    "hexchat-common",
    "quassel-data",
    "neochat",
    "kdeconnect",
    "twinkle",
    "roundcube-core",
    "kmail",
    "korganizer",
    "kalarm",
    "evolution-common",
    "claws-mail-i18n",
    "geary",
    "php-horde-imp",
    "php-horde-core",
    "gnome-contacts",
    "gnome-clocks",
    "gnome-calendar",
    "gnome-bluetooth-3-common",
    "gnome-control-center-data",
    "network-manager-gnome",
    "plasma-nm",
    "gdm3",
    "gnome-initial-setup",
    "seahorse",
    "keepassxc",
    "nextcloud-desktop-l10n",
    "libpwquality-common",
    "mate-control-center-common",
    "cinnamon-l10n",
    "gnome-shell-common",
    "plasma-desktop-data",
    "plasma-workspace-data",
    "gnome-software-common",
    "libgtk-3-common",
    "apt",
    "login",
    "vlc-l10n",
    "gcompris-qt-data",
    "mediawiki",
    "chromium-l10n",
]
PROMPTS = "asterisk-core-sounds-en/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"
LANGS = ("es", "fr", "it", "ru")
LANG = re.compile(r"(?:(?<=[/_-])|^)(en|es|fr|it|ru)(?:[_-](?:US|GB|ES|FR|IT|RU))?(?=[./@])")
NUMBERS = {  # words without gender, so they fit any noun
    3: "three tres trois tre три",
    4: "four cuatro quatre quattro четыре",
    5: "five cinco cinq cinque пять",
    6: "six seis six sei шесть",
    7: "seven siete sept sette семь",
    8: "eight ocho huit otto восемь",
    9: "nine nueve neuf nove девять",
    10: "ten diez dix dieci десять",
    12: "twelve doce douze dodici двенадцать",
    15: "fifteen quince quinze quindici пятнадцать",
    20: "twenty veinte vingt venti двадцать",
}
SLOT = re.compile(r"%(?:\d\$)?'?(?:l{0,2}[diu]|[1n])(?!\w)|%\(\w+\)[di]|\{(?:n|num|count)?\}")
RU_OBLIQUE = re.compile(r"(?:\b(?:из|до|от|около|более|менее|после|течение|с|к|о|для|не|среди|у)|последних|первых) $", re.I)
TECHNICAL = re.compile(
    r"\b(?:ctrl|alt|shift|html|xml|css|uris?|urls?|https?|json|regexp?|php|javascript|sql|"
    r"booleans?|pixels?|bitmap|kernel|daemon|sockets?|stdin|stdout|stderr|enum|pars(?:e|ed|er|ing)|syntax|"
    r"threads?|buffers?|bytes?|hex\w*|checksums?|plugins?|widgets?|regular expressions?|arguments?|"
    r"iterators?|namespaces?|pointers?|toolbars?|cells?|columns?|wiki\w*|paragraphs?|macros?|axis|formula|"
    r"strings?|schema|metadata|opcode|assertion|callbacks?|dbus|gtk|qt|kde|gnome|libreoffice|dpkg|"
    r"chrom(?:e|ium)|firefox|thunderbird|nextcloud|google|gemini|quassel|konversation|kleopatra|keepass\w*|gajim|jami|pidgin|roundcube|horde)\b",
    re.I,
)
JUNK = {"your names", "your emails", "translator credits", "translators credits"}
ALLOWED = {"en": r"[A-Za-z ,.;:!?'-]+", "ru": r"[А-Яа-яЁёA-Za-z ,.;:!?'–—-]+"}
LATIN = r"[A-Za-zÀ-ÖØ-öø-ÿŒœ ,.;:!?¿¡'–—-]+"
WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")


def read_mo(data):
    """Yield (msgid, msgid_plural or None, [forms], plural rule) from a gettext .mo file."""
    order = "<" if data[:4] == b"\xde\x12\x04\x95" else ">"
    count, ids, strs = struct.unpack(order + "3I", data[8:20])

    def rule(n):
        return int(n != 1)

    for i in range(count):
        (n, at), (m, to) = (struct.unpack_from(order + "2I", data, base + 8 * i) for base in (ids, strs))
        msgid, text = (s.decode("utf-8", "replace") for s in (data[at : at + n], data[to : to + m]))
        if not msgid:
            found = re.search(r"plural=([^;\n]+)", text)
            rule = gettext.c2py(found.group(1)) if found else rule
            continue
        one, _, many = msgid.split("\x04")[-1].partition("\0")
        yield one, many or None, text.split("\0"), rule


def read_qm(data):
    """Yield (source, None, [translation], None) from a Qt .qm file that keeps its source texts."""
    at, size = 16, 0
    while at + 5 <= len(data) and data[at] != 0x69:  # find the messages section
        at += 5 + struct.unpack_from(">I", data, at + 1)[0]
    end = at + 5 + struct.unpack_from(">I", data, at + 1)[0] if at + 5 <= len(data) else 0
    at, forms, source = at + 5, [], ""
    while at < end:
        tag, at = data[at], at + 1
        if tag == 1:  # end of one message
            if source and len(forms) == 1:
                yield source, None, forms, None
            forms, source = [], ""
        elif tag in (3, 6, 7, 8):  # translation, source, context, comment
            (size,) = struct.unpack_from(">I", data, at)
            size = 0 if size == 0xFFFFFFFF else size
            body, at = data[at + 4 : at + 4 + size], at + 4 + size
            if tag == 3:
                forms.append(body.decode("utf-16-be", "replace"))
            elif tag == 6:
                source = body.decode("utf-8", "replace")
        else:
            at += 4


def read_keyed(name, data):
    """Yield (key, text) from a file that holds one language and names messages by key."""
    if name.endswith(".pak"):
        (count,) = struct.unpack_from("<H", data, 8)
        table = [struct.unpack_from("<HI", data, 12 + 6 * i) for i in range(count + 1)]
        for (key, start), (_, stop) in zip(table, table[1:], strict=False):
            yield str(key), data[start:stop].decode("utf-8", "replace")
    elif name.endswith(".json"):
        yield from ((k, v) for k, v in json.loads(data).items() if isinstance(v, str))
    else:
        found = re.findall(r"\[['\"](\w+)['\"]\]\s*=\s*'((?:\\.|[^'\\])*)'", data.decode("utf-8", "replace"))
        yield from ((key, body.replace("\\'", "'")) for key, body in found)


def rows(root, keyed):
    """Yield (English, language, text) from one unpacked package; keyed texts go into `keyed`."""
    for path in sorted(p for p in root.rglob("*") if p.is_file() and not p.is_symlink()):
        name = path.relative_to(root).as_posix()
        lang = LANG.findall(name)[-1:]
        if not lang or "/api/" in name:
            continue
        if path.suffix in (".mo", ".qm") and lang[0] in LANGS:
            for one, many, forms, rule in (read_mo if path.suffix == ".mo" else read_qm)(path.read_bytes()):
                yield one, lang[0], forms[0]
                if many:  # put a number word in "%d new messages"
                    n = list(NUMBERS)[zlib.crc32(many.encode()) % len(NUMBERS)]
                    words = dict(zip(("en",) + LANGS, NUMBERS[n].split(), strict=True))
                    form = forms[min(rule(n), len(forms) - 1)]
                    hits = [list(SLOT.finditer(s)) for s in (many, form)]
                    if all(len(h) == 1 for h in hits) and not RU_OBLIQUE.search(form[: hits[1][0].start()]):
                        put = [SLOT.sub(words[c], s) for s, c in ((many, "en"), (form, lang[0]))]
                        yield put[0][:1].upper() + put[0][1:], lang[0], put[1][:1].upper() + put[1][1:]
        elif path.suffix in (".pak", ".json", ".inc"):
            for key, text in read_keyed(name, path.read_bytes()):
                keyed[LANG.sub("*", name), key][lang[0]] = (root.name, text)


def clean(text, lang):
    """Return the text without mnemonics and trailing colon or dots, or None if it is not plain prose."""
    text = re.sub(r"[&_~](?=[^\W\d_])", "", text.strip(), count=1)
    text = re.sub(r"[\u00a0\u202f]", " ", text).replace("’", "'").replace("…", "...")
    text = re.sub(r"\s*(?:\.{2,}|:)$", "", text)
    if not re.fullmatch(ALLOWED.get(lang, LATIN), text) or re.search(r"[^\W\d_][A-Z]*[a-zа-яё][A-ZА-Я]|  |--|[.,:][^ .]|\.\.| [.,]", text):
        return None
    words = text.split()
    caps = sum(w.strip(",.;:!?").isupper() and len(w.strip(",.;:!?")) > 1 for w in words)
    if text.isupper() or caps > 1 or not (2 <= len(words) <= 20 if lang == "en" else len(words) <= 30):
        return None
    if lang == "en" and (TECHNICAL.search(text) or text.lower() in JUNK or not text[0].isalpha() or any(len(w.strip(",.;:!?")) == 1 and w not in "aAI" for w in words)):
        return None
    if lang == "ru" and sum(bool(re.match("[A-Za-z]", w)) for w in words) > min(1, len(words) - 1):
        return None
    return text


def pair(english, lang, text):
    """Return the cleaned (English, translation), end punctuation made equal, or None."""
    en, tr = clean(english, "en"), clean(text, lang)
    if not en or not tr or en.lower() == tr.lower() or (len(en) > 12 and not 0.4 < len(tr) / len(en) < 2.6):
        return None
    if (en[-1] == "?") != (tr[-1] == "?") or en[-1] in ",;-" or tr[-1] in ",;-":
        return None
    return en, (tr.rstrip(" .!") + en[-1] if en[-1] in ".!" else tr.rstrip(" .!"))


def main():
    args = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    args.add_argument("--out", type=pathlib.Path, default="pairs.jsonl.gz", help="gzipped JSON lines to write")
    args.add_argument("--work", type=pathlib.Path, default="work", help="folder for downloads and unpacked packages")
    args = args.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    table, shown, keyed = {}, collections.defaultdict(collections.Counter), collections.defaultdict(dict)
    counts = collections.Counter()

    def add(package, english, lang, text):
        """Count one vote for a translation; spellings that differ only in case share an entry."""
        found = pair(english, lang, text)
        if found:
            key = found[0].lower()
            shown[key][found[0]] += 1
            table.setdefault(key, {}).setdefault(lang, collections.Counter())[found[1]] += 1
            counts[package] += 1

    for package in PACKAGES:
        root = args.work / package
        if not root.is_dir():
            subprocess.run(["apt-get", "download", "-qq", package], cwd=args.work, check=True)
            deb = next(args.work.glob(package + "_*.deb"))
            subprocess.run(["dpkg-deb", "-x", deb, root], check=True)
            deb.unlink()
        for english, lang, text in rows(root, keyed):
            add(package, english, lang, text)
    for texts in keyed.values():
        for lang in LANGS:
            if "en" in texts and lang in texts:
                add(texts[lang][0], texts["en"][1], lang, texts[lang][1])
    for package in PACKAGES:
        print(f"{package:28} {counts[package]:7} pairs")

    # Score: mean log-ratio of word frequencies, prompts against this corpus, damped for short lines.
    with gzip.open(args.work / PROMPTS, "rt", encoding="utf-8") as f:
        said = [re.sub(r"\[.*?\]", "", line.partition(": ")[2]) for line in f if not line.startswith(";")]
    near = collections.Counter(w for line in said for w in WORD.findall(line.lower()))
    far = collections.Counter(w for key in table for w in WORD.findall(key))
    n, m = sum(near.values()), sum(far.values())
    weight = {w: math.log((near[w] + 500 * far[w] / m) / (n + 500) / (far[w] / m)) for w in far}
    lines = []
    for key, langs in table.items():
        words = WORD.findall(key)
        line = {"en": shown[key].most_common(1)[0][0]}
        line.update((lang, langs[lang].most_common(1)[0][0]) for lang in LANGS if lang in langs)
        line["score"] = round(sum(max(-3, min(3, weight[w])) for w in words) / (len(words) + 2), 3)
        lines.append(line)
    lines.sort(key=lambda line: (-line["score"], line["en"]))
    with gzip.open(args.out, "wt", encoding="utf-8") as f:
        f.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    print(len(lines), "English strings;", ", ".join(f"{c} {sum(c in line for line in lines)}" for c in LANGS), "; all four", sum(all(c in line for c in LANGS) for line in lines))


if __name__ == "__main__":
    main()
