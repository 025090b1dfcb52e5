#!/usr/bin/env bash
# Installs the command sat-caption on Raspberry Pi OS (64-bit, bookworm or later), from this checkout.
#
#     ./install.sh                                       for you: ~/.local/bin/sat-caption
#     sudo ./install.sh                                  for all: /usr/local/bin/sat-caption
#     sudo ./install.sh --service MODEL.tflite PHOTOS    and captions what arrives in the folder PHOTOS
#
# Can be run again at any time: it brings everything to this checkout's state.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
checkout=$(cd "$here/../.." && pwd)
needed_mb=400

fail() { echo "install.sh: $*" >&2; exit 1; }
usage() { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }

model="" photos=""
case ${1:-} in
    "") [ $# -eq 0 ] || usage ;;
    --service) [ $# -eq 3 ] || usage; model=$2 photos=$3 ;;
    *) usage ;;
esac

if [ "$(id -u)" = 0 ]; then
    prefix=/opt/sat-caption bin=/usr/local/bin
else
    [ -z "$model" ] || fail "a service is installed by root: sudo $0 $*"
    prefix=$HOME/.local/share/sat-caption bin=$HOME/.local/bin
fi

# What the machine must have.
[ "$(uname -m)" = aarch64 ] ||
    fail "this machine is $(uname -m); the runtime needs a 64-bit ARM system (aarch64)"
[ "$(getconf LONG_BIT)" = 64 ] ||
    fail "a 32-bit system on a 64-bit processor: install Raspberry Pi OS (64-bit)"
command -v python3 >/dev/null || fail "no python3: sudo apt install python3 python3-venv"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$(python3 --version) is too old: Python 3.11 or later, as Raspberry Pi OS bookworm has"
python3 -c 'import ensurepip, venv' 2>/dev/null ||
    fail "Python has no venv: sudo apt install python3-venv"
[ -f "$checkout/pyproject.toml" ] || fail "$checkout is no checkout of the project"
if [ -n "$model" ]; then
    [ -f "$model" ] || fail "$model: no such file"
    [ -d "$photos" ] || fail "$photos: no such folder"
    photos=$(cd "$photos" && pwd)
    command -v systemctl >/dev/null || fail "no systemd here; leave --service away"
fi
mkdir -p "$prefix/bin" "$bin" 2>/dev/null || fail "cannot write $prefix and $bin"
free_mb=$(df --output=avail -BM "$prefix" | tail -n 1 | tr -dc 0-9)
[ -d "$prefix/venv" ] || [ "$free_mb" -ge "$needed_mb" ] ||
    fail "$free_mb MB free at $prefix, $needed_mb needed"

# The packages. The system's are seen too: picamera2 comes by apt alone.
if ! "$prefix/venv/bin/python" -m pip --version >/dev/null 2>&1; then
    echo "making $prefix/venv"
    python3 -m venv --clear --system-site-packages "$prefix/venv"
fi
echo "installing packages"
source=$(mktemp -d "$prefix/source.XXXXXX") # pip builds in place; the checkout stays as it is
trap 'rm -rf "$source"' EXIT
cp -r "$checkout"/{pyproject.toml,README.md,LICENSE,NOTICE,sat_keras} "$source"
mkdir "$source/export"
cp -r "$checkout/export/sat_edge" "$checkout/export/sat_export" "$source/export"
"$prefix/venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade \
    --constraint "$here/constraints.txt" "${source}[edge]" ||
    fail "pip could not install the packages (above); run it again when the network is there"

# The command.
install -m 644 "$here/sat_caption.py" "$prefix/sat_caption.py"
printf '#!/bin/sh\nexec "%s/venv/bin/python" "%s/sat_caption.py" "$@"\n' "$prefix" "$prefix" \
    >"$prefix/bin/sat-caption.part"
chmod 755 "$prefix/bin/sat-caption.part"
mv "$prefix/bin/sat-caption.part" "$prefix/bin/sat-caption"
ln -sf "$prefix/bin/sat-caption" "$bin/sat-caption"
"$bin/sat-caption" --help >/dev/null || fail "sat-caption does not start (above)"
echo "installed $bin/sat-caption"
case :$PATH: in
    *:"$bin":*) ;;
    *) echo "$bin is not on your PATH; log in again, or: export PATH=\"$bin:\$PATH\"" ;;
esac

[ -n "$model" ] || exit 0
install -m 644 "$model" "$prefix/captioner.tflite.part"
mv "$prefix/captioner.tflite.part" "$prefix/captioner.tflite"
id sat-caption >/dev/null 2>&1 ||
    useradd --system --no-create-home --shell /usr/sbin/nologin sat-caption
setpriv --reuid sat-caption --regid sat-caption --clear-groups test -r "$photos" -a -x "$photos" ||
    fail "the user sat-caption may not read $photos: sudo chmod o+rx it and the folders above it"
printf 'PHOTOS=%s\nOPTIONS=\n' "$photos" >/etc/sat-caption.conf
install -m 644 "$here/sat-caption.service" /etc/systemd/system/sat-caption.service
systemctl daemon-reload
systemctl enable --quiet sat-caption
systemctl restart sat-caption
echo "started the service: captions in /var/lib/sat-caption, messages by journalctl -u sat-caption"
