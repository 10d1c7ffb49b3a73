#!/bin/sh
# The way of a newcomer on a fresh clone, timed step by step: sh demos/newcomer.sh
set -e
cd "$(dirname "$0")/.."
place=$(mktemp -d)
step() {
    name=$1
    shift
    start=$(date +%s)
    "$@" >"$place/log" 2>&1 || { cat "$place/log"; exit 1; }
    echo "$name: $(($(date +%s) - start)) s"
}
plugin() {
    .venv/bin/alm new-plugin alm-mine --folder "$place"
    .venv/bin/python -m pip install -q --no-deps --no-index --no-build-isolation --target "$place/site" "$place/alm-mine"
    PYTHONPATH="$place/site" .venv/bin/python -m pytest -q -p no:cacheprovider "$place/alm-mine/tests"
    PYTHONPATH="$place/site" .venv/bin/alm plugins --check --plugin alm-mine
}
train() { .venv/bin/jupyter-execute --timeout 600 notebooks/02_train_in_three_minutes.ipynb; }
clip=plugins/alm-prompts/src/alm_prompts/data/audio/en/vm-goodbye.opus
step "installed (make setup)" make setup
step "first result (alm run ASR)" .venv/bin/alm run ASR "$clip" --from en
step "first sound (alm run TTS)" .venv/bin/alm run TTS "thank you for calling" -o "$place/thanks.wav"
step "first training, three minutes of it learning (notebook 02)" train
step "first plugin, written, tested, checked (alm new-plugin)" plugin
