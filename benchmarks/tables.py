"""A benchmark's rows, as JSON and as a Markdown table."""

import json

from sat_keras.files import atomic_output


def table(head, rows):
    """Markdown of a list of headings and of lists of cells, all str."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def percent(row, names):
    """Scores of a row as cells; an empty one for METEOR where there is no Java."""
    return [f"{100 * row[name]:.1f}" if name in row else "" for name in names]


def grounding_of(row, name):
    """`pointing` or `mass` of a row's attention as a cell: on the references, on its own words."""
    parts = [row["grounding"].get(words) for words in ("references", "own")]
    return " / ".join(f"{each['all'][name]['attention']:.3f}" for each in parts if each)


def save_table(path, rows, markdown):
    """Writes `rows` to `path.json` and their Markdown to `path.md`."""
    for suffix, text in ((".json", json.dumps(rows, indent=2)), (".md", markdown)):
        with atomic_output(path.with_suffix(suffix)) as temporary:
            temporary.write_text(text)
