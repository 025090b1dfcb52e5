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
gradle=$here/captioner/build.gradle.kts
stubs=$(find "$here"/jvm/stubs -name '*.java' | sort)
newest=$(ls -t $sources $stubs "$gradle" "$here/test.sh" | head -1)
if [ ! "$out/main.jar" -nt "$newest" ]; then
    rm -rf "$out" && mkdir -p "$out/stubs" "$out/generated/sat/edge"
    # What Gradle generates of the buildConfigField.
    litert=$(sed -n 's/^val litert = "\(.*\)"$/\1/p' "$gradle")
    config=$out/generated/sat/edge/BuildConfig.java
    echo "package sat.edge; public final class BuildConfig {" \
        "public static final String LITERT = \"${litert:?no version in $gradle}\"; }" > "$config"
    javac -nowarn --release 8 -d "$out/stubs" $stubs "$config"
    "${KOTLINC:-kotlinc}" -jvm-target 1.8 -include-runtime \
        -classpath "$out/stubs:$json" -d "$out/part.jar" $sources
    mv "$out/part.jar" "$out/main.jar"
fi
[ $# -gt 0 ] || exit 0
main=$1
shift
exec java ${JAVA_OPTIONS:-} -Dpython="${PYTHON:-python3}" -Dlitert="$here/jvm/litert.py" \
    -classpath "$out/main.jar:$out/stubs:$json" "sat.edge.$main" "$@"
