#!/bin/sh
# Install QGIS and what a virtual environment needs, where they are missing (Debian, Ubuntu).
set -eu

missing=""
command -v qgis_process.bin >/dev/null 2>&1 || command -v qgis_process >/dev/null 2>&1 || missing="qgis"
/usr/bin/python3 -c "import qgis.core" >/dev/null 2>&1 || missing="$missing python3-qgis"
/usr/bin/python3 -c "import ensurepip" >/dev/null 2>&1 || missing="$missing python3-venv"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "Missing:$missing. Install QGIS 3.22 or newer with its Python bindings, and Python's venv module." >&2
    exit 1
fi
sudo=""
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "Installing $missing needs root or sudo." >&2; exit 1; }
    sudo="sudo"
fi
echo "Installing: $missing"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# shellcheck disable=SC2086  (several packages)
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >build/apt.log 2>&1 ||
    { tail -n 20 build/apt.log >&2; exit 1; }
