#!/usr/bin/env bash
# Every runtime on the same photos, and the matrix of what came out.
#
#     export/conformance/everywhere.sh FOLDER PHOTOS [--run RUN] [--inject RUN]
#
# FOLDER is made, unless it is there; PHOTOS is a folder of at least 50; for the options see make.py. Needs Debian's
# chromium, libvulkan1, qemu-user-static, debootstrap, kotlin and libandroid-json-org-java, Node 20.19, and root
# for the emulated system. GPUs are chromium's SwiftShader, a software one, unless VK_ICD_FILENAMES names another driver.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$1"
folder=$(realpath "$1") photos=$(realpath "$2")
shift 2
here=$(cd "$(dirname "$0")" && pwd)
export VK_ICD_FILENAMES=${VK_ICD_FILENAMES:-/usr/lib/chromium/vk_swiftshader_icd.json}

[ -e "$folder/conformance.json" ] || python "$here/make.py" "$folder" --photos "$photos" "$@"
cd "$here"
python run.py "$folder" --runtime python
python run.py "$folder" --runtime gpu --accelerator gpu
../raspberry_pi/emulate.sh "$folder/aarch64" run.py "$folder" --runtime aarch64
../android/test.sh Conformance "$folder"
(cd ../web && npm ci --no-audit --no-fund && npm run conformance -- "$folder")
python check.py "$folder" --need python gpu aarch64 kotlin wasm webgpu
