"""Compares what each runtime said with what was expected, and prints a matrix.

    python export/conformance/check.py FOLDER [--need RUNTIME ...]

Of a float32 file the greedy tokens have to be the same and attention within 1e-3; of a quantised
one the tokens are to be those of the same file in Python. Ends with 1 if a runtime fails, or one
of `--need` has no results.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

CLOSE = 1e-3  # of attention


def compare(folder, runtime, name, facts):
    """Of one runtime and file: `same` captions, the largest `attention` difference, `passed`."""
    shape = (facts["count"], facts["max_length"])
    found, wanted = (
        {
            "tokens": np.fromfile(each / "tokens.bin", "<i4").reshape(shape),
            "attention": np.fromfile(each / "attention.bin", "<f4").reshape(*shape, -1),
        }
        for each in (folder / "results" / runtime / name, folder / name)
    )
    same = (found["tokens"] == wanted["tokens"]).all(axis=1)  # (N,)
    difference = np.abs(found["attention"] - wanted["attention"])[same].max(initial=0.0)
    passed = bool(same.all()) and (name != "float32" or difference <= CLOSE)
    return {"same": int(same.sum()), "attention": float(difference), "passed": bool(passed)}


def matrix(folder):
    """All results: dict of runtime to dict of file to `compare`'s result."""
    facts = json.loads((folder / "conformance.json").read_text())
    return {
        runtime.name: {
            name: compare(folder, runtime.name, name, facts)
            for name in facts["files"]
            if (runtime / name / "tokens.bin").exists()
        }
        for runtime in sorted((folder / "results").iterdir())
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--need", nargs="*", default=[], help="runtimes that have to be there")
    options = parser.parse_args()
    facts = json.loads((options.folder / "conformance.json").read_text())
    results = matrix(options.folder)
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
    missing = [each for each in options.need if each not in results]
    if missing:
        print(f"no results of {', '.join(missing)}", file=sys.stderr)
    failed = [each for row in results.values() for each in row.values() if not each["passed"]]
    return 1 if failed or missing else 0


if __name__ == "__main__":
    sys.exit(main())
