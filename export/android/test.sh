#!/usr/bin/env bash
# Compiles the library, the app and the tests' mains against jvm/stubs, without an Android SDK, and
# runs one of the mains:
#
#     ./test.sh                        compiles only
#     ./test.sh Conformance FOLDER     see jvm/Conformance.kt
#     ./test.sh Answers FOLDER         see jvm/Answers.kt
#
# Debian: apt-get install kotlin libandroid-json-org-java. Another Kotlin: KOTLINC=/path/to/kotlinc.
# Java properties, such as those of the stubs, go into JAVA_OPTIONS.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${OUT:-$here/build/jvm}
json=/usr/share/java/json-android.jar

sources=$(find "$here"/captioner/src "$here"/app/src "$here"/jvm -name '*.kt' | sort)
stubs=$(find "$here"/jvm/stubs -name '*.java' | sort)
newest=$(ls -t $sources $stubs "$here/test.sh" | head -1)
if [ ! "$out/main.jar" -nt "$newest" ]; then
    rm -rf "$out" && mkdir -p "$out/stubs"
    javac -nowarn --release 8 -d "$out/stubs" $stubs
    "${KOTLINC:-kotlinc}" -jvm-target 1.8 -include-runtime \
        -classpath "$out/stubs:$json" -d "$out/part.jar" $sources
    mv "$out/part.jar" "$out/main.jar"
fi
[ $# -gt 0 ] || exit 0
main=$1
shift
exec java ${JAVA_OPTIONS:-} -Dpython="${PYTHON:-python3}" -Dlitert="$here/jvm/litert.py" \
    -classpath "$out/main.jar:$out/stubs:$json" "sat.edge.$main" "$@"
