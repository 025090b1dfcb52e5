"""Every scheme of quantisation on one run or preset: a file's size, its time, and its captions.

    python benchmarks/quantization.py RUN --photos PHOTOS --photo photo.jpg --out runs/quantized

Exports the run by each scheme (a file that is there stays), compares its greedy captions of the
test split with the run's, times it beside its own plain encoder, and writes `quantization.md` and
`.json`.
`--photos` names a folder of photos that are not of the test split.
"""

import argparse
from pathlib import Path

from tables import percent, save_table, table

from sat_export import export_tflite
from sat_export.benchmark import benchmark
from sat_export.verify import verify
from sat_keras import Search, datasets
from sat_keras.memory import keep_freed_memory
from sat_keras.runs.sources import load_captioner, trained_on

HALF_ZEROS = {"sparsity": 0.5}
TWO_OF_FOUR = {"sparsity": 0.5, "pattern": "2:4", "epochs": 1}
CLUSTERS = {"clusters": 32, "epochs": 1}
FILES = {
    "none": {"quantize": "none"},
    "float16": {"quantize": "float16"},
    "dynamic": {"quantize": "dynamic"},
    "int8": {"quantize": "int8"},
    "qat": {"quantize": "qat"},
    "int8, int4": {"quantize": "int8", "quantize_decoder": "int4"},
    "int4": {"quantize": "int4"},
    "half zeros": {"compression": HALF_ZEROS},
    "half zeros, int8": {"quantize": "int8", "compression": HALF_ZEROS},
    "2:4 zeros": {"compression": TWO_OF_FOUR},
    "2:4 zeros, int8": {"quantize": "int8", "compression": TWO_OF_FOUR},
    "32 clusters": {"compression": CLUSTERS},
    "32 clusters, int8": {"quantize": "int8", "compression": CLUSTERS},
}
HEAD = (
    "scheme | MB | zipped | caption, ms, 1 thread | 2 threads | encoder alone, ms | Keras, ms | "
    "cold start, s | peak, MB | BLEU-4 | METEOR | CIDEr | CIDEr lost | same captions"
).split(" | ")


def measure(path, options, captioner, builder):
    """One row of the table."""
    found = verify(captioner, path, builder, limit=options.limit)
    return {**benchmark(path, options.photo, captioner), **found}


def markdown(rows):
    lines = []
    for name, row in rows.items():
        one, two = row["threads"]["1"], row["threads"]["2"]
        lost = -row["CIDEr_difference"] / max(row["CIDEr"] - row["CIDEr_difference"], 1e-9)
        cells = [name, f"{row['bytes'] / 1e6:.2f}", f"{row['zipped_bytes'] / 1e6:.2f}"]
        cells += [f"{each['caption_ms']:.1f}" for each in (one, two)]
        cells += [f"{one['encoder_ms']:.1f}", f"{row['keras_ms']:.0f}"]
        cells += [f"{row['cold_start_s']:.2f}", f"{row['peak_mb']:.0f}"]
        cells += percent(row, ("BLEU-4", "METEOR"))
        lines.append([*cells, f"{row['CIDEr']:.3f}", f"{lost:.1%}", f"{row['same']:.1%}"])
    return table(HEAD, lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="or a preset")
    parser.add_argument("--photos", required=True, type=Path)
    parser.add_argument("--photo", required=True, type=Path, help="the one that is timed")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--data-dir")
    parser.add_argument("--cache", type=Path, help="default: the folder --out")
    parser.add_argument("--limit", type=int, help="only the first N photos of the split")
    parser.add_argument("--only", nargs="*", default=list(FILES), choices=FILES)
    options = parser.parse_args()
    keep_freed_memory()
    dataset, captioner = trained_on(options.run), load_captioner(options.run)
    captioner.search = Search()  # greedy, and so are the files
    records = (options.cache or options.out) / "records"
    builder = datasets.build_records(dataset, records, options.data_dir)
    rows = {}
    for name in options.only:
        path = options.out / f"{name.translate(str.maketrans(' :', '--', ','))}.tflite"
        if not path.exists():
            export_tflite(captioner, path, photos=options.photos, trained_on=dataset, **FILES[name])
        rows[name] = measure(path, options, captioner, builder)
        print(markdown({name: rows[name]}), flush=True)
    save_table(options.out / "quantization", rows, markdown(rows))


if __name__ == "__main__":
    main()
