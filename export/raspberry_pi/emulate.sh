#!/usr/bin/env bash
# Runs a Python script as a Raspberry Pi would: Debian bookworm's aarch64 Python, emulated.
#
#     ./emulate.sh FOLDER SCRIPT.py [ARGUMENT...]      with sat_edge and the pinned wheels
#     ./emulate.sh FOLDER --shell COMMAND...           any command, in the whole system, as root
#
# FOLDER keeps the system (400 MB) for the next time. BOARD=pi5 instead of pi4 changes the processor.
# Needs Debian's qemu-user-static and debootstrap, and pip; --shell needs Linux 6.7 or later, and shows
# this checkout at /checkout and FOLDER/shared at /shared.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
checkout=$(cd "$here/../.." && pwd)

fail() { echo "emulate.sh: $*" >&2; exit 1; }

[ $# -ge 2 ] || { sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
for tool in qemu-aarch64-static debootstrap dpkg-deb; do
    command -v "$tool" >/dev/null || fail "no $tool: apt-get install qemu-user-static debootstrap"
done
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
root=$folder/root
wheels=$folder/wheels

# What a processor can do, for the emulator, and what it says of itself, for libraries that read it.
case ${BOARD:-pi4} in
    pi4) export QEMU_CPU=cortex-a72
        part=0xd08 features="fp asimd evtstrm crc32 cpuid" model="Raspberry Pi 4 Model B Rev 1.5" ;;
    pi5) export QEMU_CPU=cortex-a76
        part=0xd0b model="Raspberry Pi 5 Model B Rev 1.0"
        features="fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm"
        features+=" lrcpc dcpop asimddp" ;;
    *) fail "BOARD=$BOARD: pi4 or pi5" ;;
esac

# Each part is made under another name and renamed, so that a run that was stopped is gone on with.
if [ ! -d "$root" ]; then
    [ "$(id -u)" = 0 ] || fail "the first time as root: debootstrap asks for it"
    rm -rf "$root.part"
    debootstrap --arch=arm64 --foreign --variant=minbase --include=python3,python3-venv \
        bookworm "$root.part" >"$folder/debootstrap.log" 2>&1 || fail "see $folder/debootstrap.log"
    for package in "$root.part"/var/cache/apt/archives/*.deb; do
        dpkg-deb -x "$package" "$root.part"
    done
    rm -rf "$root.part"/var/cache/apt/archives/*.deb
    mkdir -p "$root.part/checkout" "$root.part/shared"
    mv "$root.part" "$root"
fi
if ! cmp -s "$here/constraints.txt" "$wheels/constraints.txt"; then
    rm -rf "$wheels.part" "$wheels"
    python3 -m pip install --quiet --disable-pip-version-check --target "$wheels.part" \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
        --platform manylinux_2_17_aarch64 --python-version 3.11 --implementation cp \
        --only-binary=:all: --no-deps -r "$here/constraints.txt"
    cp "$here/constraints.txt" "$wheels.part"
    mv "$wheels.part" "$wheels"
fi

# Files in the root hide those of this machine: a quad-core Pi's.
mkdir -p "$root/proc" "$root/sys/devices/system/cpu" "$folder/shared"
echo 0-3 | tee "$root/sys/devices/system/cpu/present" >"$root/sys/devices/system/cpu/possible"
for core in 0 1 2 3; do
    printf 'processor\t: %s\nBogoMIPS\t: 108.00\nFeatures\t: %s\nCPU implementer\t: 0x41\n' \
        "$core" "$features"
    printf 'CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: %s\nCPU revision\t: 3\n\n' "$part"
done >"$folder/cpuinfo"
printf 'Model\t\t: %s\n' "$model" >>"$folder/cpuinfo"
cp "$folder/cpuinfo" "$root/proc/cpuinfo"

if [ "$1" != --shell ]; then
    exec qemu-aarch64-static -L "$root" -E "PYTHONPATH=$wheels:$checkout/export" \
        -E PYTHONDONTWRITEBYTECODE=1 "$root/usr/bin/python3.11" "$@"
fi

shift
# A user namespace of its own: the emulator is registered for aarch64 programs in there alone.
magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
entry=":aarch64:M::$magic:$mask:$(command -v qemu-aarch64-static):F"
authorities=/etc/ssl/certs/ca-certificates.crt
export folder root checkout entry authorities
# shellcheck disable=SC2016  # the inner shell expands it
exec unshare --user --map-root-user --mount --pid --fork bash -euc '
    mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
    printf %s "$entry" >/proc/sys/fs/binfmt_misc/register
    mount --rbind /proc "$root/proc"
    mount --bind "$folder/cpuinfo" "$root/proc/cpuinfo"
    mount --rbind /dev "$root/dev"
    mount --bind "$checkout" "$root/checkout"
    mount --bind "$folder/shared" "$root/shared"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    [ ! -f "$authorities" ] || install -D -m 644 "$authorities" "$root$authorities"
    exec env -i QEMU_CPU="$QEMU_CPU" HOME=/root LANG=C.UTF-8 PIP_CERT="$authorities" \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" "$@"
' bash "$@"
