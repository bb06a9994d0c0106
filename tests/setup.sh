#!/bin/sh
# Installs what the tests run against: the real MCP servers and clients, the
# conformance suite, the token issuer, and small checkpoints for the model.
# Needs root only where a Debian package is missing. Everything else lands in
# tests/.cache and tests/peers, ignored by git. Safe to run again; quick when there is
# nothing to do.
set -eu
cd "$(dirname "$0")"

# name of a command, Debian package that brings it
require() {
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
missing=
require npm npm
require python3 python3
require curl curl
# Vulkan on the processor: on it the model is tested as on a GPU.
ls /usr/share/vulkan/icd.d/lvp_icd* >/dev/null 2>&1 || missing="$missing mesa-vulkan-drivers"
python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
if [ -n "$missing" ]; then
    apt-get update -qq
    # shellcheck disable=SC2086 # one word per package
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

# A stamp holds what was installed; when the wish changes, so does the stamp.
fresh() {
    [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]
}

mkdir -p .cache
for series in mcp-1 mcp-2 openai; do
    wish=$(cat "peers/python/$series.txt")
    fresh ".cache/$series/.installed" "$wish" && continue
    rm -rf ".cache/$series"
    python3 -m venv ".cache/$series"
    ".cache/$series/bin/python" -m pip install --quiet --disable-pip-version-check -r "peers/python/$series.txt"
    printf '%s' "$wish" >".cache/$series/.installed"
done

for peers in node conformance commands; do
    wish=$(cat "peers/$peers/package.json")
    fresh "peers/$peers/node_modules/.installed" "$wish" && continue
    rm -rf "peers/$peers/node_modules"
    (cd "peers/$peers" && npm install --no-package-lock --no-audit --no-fund --loglevel=error)
    printf '%s' "$wish" >"peers/$peers/node_modules/.installed"
done
# They need a newer Node than Debian's; it comes as a package, too.
peers/node/node_modules/node/bin/node --version >/dev/null

# Checkpoints for the model's own tests.
../inference/tests/reference/setup.sh
