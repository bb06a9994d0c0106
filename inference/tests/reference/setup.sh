#!/bin/sh
# Makes the tiny checkpoints, with transformers' own results on them, that the
# model's tests compare with: tests/.cache/checkpoints. What makes them lands
# in tests/.cache/reference: 4 GB, about a minute. Needs python3 with venv and
# the package registry. Safe to run again; quick when there is nothing to do.
set -eu
cd "$(dirname "$0")"
cache=$(cd ../../../tests && pwd)/.cache

# A stamp holds what was installed or made; when the wish changes, so does the stamp.
fresh() {
    [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]
}

wish=$(cat ./*.py requirements.txt | sha256sum)
fresh "$cache/checkpoints/.made" "$wish" && exit 0

mkdir -p "$cache"
packages=$(cat requirements.txt)
if ! fresh "$cache/reference/.installed" "$packages"; then
    rm -rf "$cache/reference"
    python3 -m venv "$cache/reference"
    "$cache/reference/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile --no-deps -r requirements.txt
    printf '%s' "$packages" >"$cache/reference/.installed"
fi

rm -rf "$cache/checkpoints"
PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1 "$cache/reference/bin/python" make_checkpoints.py "$cache/checkpoints"
printf '%s' "$wish" >"$cache/checkpoints/.made"
