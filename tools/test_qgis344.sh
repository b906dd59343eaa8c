#!/bin/sh
# Run the QGIS tests in QGIS 3.44 of Debian 13, in a chroot, with the engine of this machine.
#
# usage: test_qgis344.sh FOLDER ENGINE_PYTHON [TESTS]      (root or sudo; 3 GB; five minutes the first time)
# Ends with status 75 where the chroot cannot be built.
set -eu

cannot_build() {
    [ ! -e "$root.log" ] || tail -n 20 "$root.log" >&2
    exit 75
}

root=$(realpath -m "$1")
engine=$(realpath -s "$2")
project=$(pwd)
tests=${3:-tests/plugin tests/algorithms tests/shell}

if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || cannot_build
    exec sudo -- "$0" "$@"
fi
# Mounts are made in a namespace of their own and so end with this script, however it ends.
if [ "${SPECTRAFILM_UNSHARED:-}" = "" ]; then
    unshare --mount true || cannot_build
    SPECTRAFILM_UNSHARED=1 exec unshare --mount -- "$0" "$@"
fi

if ! command -v debootstrap >/dev/null 2>&1; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >/dev/null || cannot_build
fi
if [ ! -e "$root/ready" ]; then
    rm -rf "$root"
    mkdir -p "$root"
    debootstrap --variant=minbase trixie "$root" >"$root.log" 2>&1 || cannot_build
    sed 's/ trixie / trixie-backports /' "$root/etc/apt/sources.list" >"$root/etc/apt/sources.list.d/backports.list"
    chroot "$root" sh -c 'export DEBIAN_FRONTEND=noninteractive; apt-get update -qq &&
        apt-get install -y -qq --no-install-recommends -t trixie-backports qgis python3-qgis python3-venv' \
        >>"$root.log" 2>&1 || cannot_build
    chroot "$root" python3 -m venv --system-site-packages /tests
    touch "$root/ready"
fi
# Wheels are fetched from outside, since the chroot need not reach the registry.
"$engine" -m pip download --quiet --dest "$root/wheels" --requirement tools/requirements-qgis-tests.txt
chroot "$root" /tests/bin/pip install --quiet --no-index --find-links /wheels pytest pytest-qgis

# The engine stays outside, since its packages belong to this machine's Python.
cat >"$root/usr/local/bin/engine-python" <<EOF
#!/bin/sh
exec chroot /host "$engine" "\$@"
EOF
chmod +x "$root/usr/local/bin/engine-python"
mkdir -p "$root/host" "$root$project"
mount --rbind / "$root/host" && mount --bind /tmp "$root/tmp" && mount --bind "$project" "$root$project" &&
    mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" || cannot_build

chroot "$root" env QT_QPA_PLATFORM=offscreen SPECTRAFILM_PYTHON=/usr/local/bin/engine-python sh -c \
    "cd '$project' && qgis_process --version 2>/dev/null | head -n 1 && exec /tests/bin/python -m pytest $tests"
