"""Compares what each runtime said with what was expected, and prints a matrix.

    python export/conformance/check.py FOLDER [--need RUNTIME ...]

The tokens have to be the expected ones; of an exact file, attention has to be within 1e-3 too.
Ends with 1 if a runtime fails, or one of `--need` lacks the results of a file that it takes.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from sat_edge import InputError

CLOSE = 1e-3  # of attention
ON_GPU = ("gpu", "webgpu")  # runtimes that take only the files with a `gpu.tflite`


def read(part, count, file):
    """`tokens` `(N, T)` and `attention` `(N, T, L)` of a folder.

    Raises:
        InputError: if one has another size.
    """
    shapes = {
        "tokens": ("<i4", (count, file["max_length"])),
        "attention": ("<f4", (count, file["max_length"], file["locations"])),
    }
    arrays = []
    for kind, (dtype, shape) in shapes.items():
        path = part / f"{kind}.bin"
        if not path.exists():
            raise InputError(f"{path}: no such file; run that runtime again")
        array = np.fromfile(path, dtype)
        if array.size != np.prod(shape):
            raise InputError(
                f"{path}: {array.size} numbers, not {np.prod(shape)}; run that runtime again"
            )
        arrays.append(array.reshape(shape))
    return arrays


def compare(folder, runtime, name, facts):
    """Of one runtime and file: `same` captions, the largest `attention` difference, `passed`."""
    count, file = facts["count"], facts["files"][name]
    tokens, attention = read(folder / "results" / runtime / name, count, file)
    wanted_tokens, wanted_attention = read(folder / name, count, file)
    same = (tokens == wanted_tokens).all(axis=1)  # (N,)
    difference = np.abs(attention - wanted_attention)[same].max(initial=0.0)
    passed = same.all() and (not file["exact"] or difference <= CLOSE)
    return {"same": int(same.sum()), "attention": float(difference), "passed": bool(passed)}


def matrix(folder, facts):
    """All results: dict of runtime to dict of file to `compare`'s result."""
    return {
        runtime.name: {
            name: compare(folder, runtime.name, name, facts)
            for name in facts["files"]
            if (runtime / name / "tokens.bin").exists()
        }
        for runtime in sorted((folder / "results").glob("*"))
    }


def print_matrix(results, facts):
    print(f"| runtime | {' | '.join(facts['files'])} |")
    print("| --- |" + " --- |" * len(facts["files"]))
    for runtime, row in results.items():
        cells = []
        for name in facts["files"]:
            if name not in row:
                cells.append("not run")
                continue
            found = row[name]
            verdict = "" if found["passed"] else "FAILED: "
            cells.append(
                f"{verdict}{found['same']}/{facts['count']}, attention {found['attention']:.1e}"
            )
        print(f"| {runtime} | {' | '.join(cells)} |")


def not_run(needed, results, facts):
    """`"RUNTIME, FILE"` of the results that are needed and missing."""
    return [
        f"{runtime}, {name}"
        for runtime in needed
        for name, file in facts["files"].items()
        if (file["gpu"] or runtime not in ON_GPU) and name not in results.get(runtime, {})
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--need", nargs="*", default=[], help="runtimes that have to be there")
    options = parser.parse_args()
    facts = json.loads((options.folder / "conformance.json").read_text())
    try:
        results = matrix(options.folder, facts)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    print_matrix(results, facts)
    missing = not_run(options.need, results, facts)
    for each in missing:
        print(f"no results of {each}", file=sys.stderr)
    failed = [each for row in results.values() for each in row.values() if not each["passed"]]
    return 1 if failed or missing else 0


if __name__ == "__main__":
    sys.exit(main())
