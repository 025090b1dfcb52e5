"""The `sat-keras` command. Results go to standard output, everything else to standard error."""

import argparse
import contextlib
import dataclasses
import json
import logging
import os
import sys
import time
from collections import Counter
from pathlib import Path

from sat_edge.errors import InputError
from sat_keras import missing_package
from sat_keras.files import atomic_output
from sat_keras.memory import keep_freed_memory

_SPLITS = ("train", "validation", "test")
DONE, FAILED = 0, 1  # argparse itself exits with 2 on wrong usage

DEMO_PICTURE = 13  # of the test split


def main(arguments=None):
    """Runs the command.

    Args:
        arguments: list of str. Defaults to those of the process.
    Returns:
        The exit status: 0 done, 1 failed; wrong usage exits with 2.
    """
    options = _parser().parse_args(arguments)
    keep_freed_memory()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("absl").setLevel(logging.ERROR)  # TensorFlow Datasets tells its own progress
    status = DONE
    try:
        # Keras and pycocoevalcap print their progress; standard output is for the result.
        with contextlib.redirect_stdout(sys.stderr):
            result, status = options.verb(options)
    except KeyboardInterrupt:
        return _fail(options.when_stopped)
    except InputError as error:
        return _fail(error)
    except ModuleNotFoundError as error:
        return _fail(missing_package(error))
    except OSError as error:
        return _fail(f"{error.filename or 'writing failed'}: {error.strerror or error}")
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        _print_result(result)
    return status


def _fail(message):
    for line in str(message).splitlines():
        _say(f"sat-keras: {' '.join(line.split())}")
    return FAILED


def _say(message):
    print(message, file=sys.stderr, flush=True)


def _print_result(result):
    for name, value in result.items():
        if isinstance(value, dict):
            _print_result({f"{name}: {part}": each for part, each in value.items()})
        elif isinstance(value, list):
            for row in value:
                fields = row.values() if isinstance(row, dict) else [f"{name:44}{row}"]
                print("\t".join(str(field) for field in fields))
        else:
            print(f"{name:44}{value:.4f}" if isinstance(value, float) else f"{name:44}{value}")


# === Verbs: each takes the options and returns (result, exit status) ===


def demo(options):
    """Trains on drawn shapes, evaluates, exports, and captions a picture with the one file."""
    from sat_edge import Captioner as EdgeCaptioner
    from sat_export import export_tflite
    from sat_keras import datasets
    from sat_keras.evaluation import evaluate
    from sat_keras.presets import DEMO
    from sat_keras.run import load_run, train
    from sat_keras.run_config import RunConfig
    from sat_keras.visualize import save_attention

    began = time.monotonic()
    out = Path(options.out)
    config = RunConfig(**DEMO)
    _say("1/5 drawing 9,000 pictures")
    builder = datasets.build_records("shapes", out / "records")
    _say(f"2/5 training for {config.epochs} epochs")
    train(out, config, builder, out / "annotations", verbose=_verbosity())
    captioner = load_run(out)
    _say("3/5 captioning the test split")
    scores, _ = evaluate(captioner.caption, builder, "test")
    _say("4/5 exporting")
    export_tflite(captioner, out / "captioner.tflite", trained_on="shapes")
    _say("5/5 captioning a picture with the exported file")
    _, encoded, record = next(datasets.read_photos(builder, "test", first=DEMO_PICTURE))
    picture = out / "picture.png"
    with atomic_output(picture) as temporary:
        temporary.write_bytes(encoded)
    caption = EdgeCaptioner(out / "captioner.tflite").caption(picture)
    save_attention(picture, caption, out / "attention.png")
    return {
        **scores,
        "caption": caption.text,
        "reference": record["captions"][0],
        "attention": str(out / "attention.png"),
        "file": str(out / "captioner.tflite"),
        "minutes": (time.monotonic() - began) / 60,
    }, DONE


def prepare(options):
    """Builds a data set's records and the annotations of every photo."""
    from sat_keras.annotation_cache import build_annotation_cache
    from sat_keras.datasets import SPLITS
    from sat_keras.run import load_encoder
    from sat_keras.run_config import RunConfig

    config = RunConfig(**_given(options, RunConfig))
    builder = _records(options)
    encoder = load_encoder(config, config.encoder_weights)
    result = {}
    for split in SPLITS:
        cache = build_annotation_cache(
            _annotations(options), builder, split, encoder, pixels=config.reads_photos
        )
        result[split] = f"{len(cache)} photos, {cache.directory}"
    return result, DONE


def train(options):
    """Trains a captioner into a run folder."""
    from sat_keras.presets import PRESETS
    from sat_keras.recipe import RECIPE, load_recipe, train_recipe
    from sat_keras.run_config import CONFIG, RunConfig

    given = _given(options, RunConfig)
    if options.resume:
        phases = load_recipe(options.out)
        for name, value in given.items():
            default = getattr(RunConfig, name, None)
            if any(phase.get(name, default) != value for phase in phases.values()):
                raise InputError(f"{options.out}: was begun with another {name}; leave it out")
    else:
        phases = PRESETS[options.preset] if options.preset else {"": {}}
        phases = {name: {**settings, **given} for name, settings in phases.items()}
        if any((Path(options.out) / name).exists() for name in (CONFIG, RECIPE)):
            raise InputError(f"{options.out}: a run is there; --resume it or name another folder")
    builder = _records(options)
    history = train_recipe(options.out, phases, builder, _annotations(options), _verbosity())
    return {"run": options.out, **history[-1]}, DONE


def evaluate(options):
    """Captions a split and scores the captions."""
    from sat_keras.evaluation import evaluate, save_results

    builder = _records(options)
    agreed = options.consensus is not None
    captioner = _consensus(options, builder) if agreed else _captioner(options)
    scores, captions = evaluate(captioner, builder, options.split, options.limit)
    settings = {
        "model": options.model,
        "dataset": options.dataset,
        "data": builder.info.full_name,
        "split": options.split,
        "limit": options.limit,
        **_search(options),
        **_named(consensus=options.consensus),
    }
    if options.out:
        made_with = _made_with(options.model)
        if agreed:
            made_with["consensus"] = {each: _made_with(each) for each in options.consensus}
        save_results(options.out, scores, captions, {**settings, **made_with})
    return {**settings, **scores}, DONE


def caption(options):
    """Captions photos."""
    captioner = _captioner(options)
    names = Counter(Path(photo).name for photo in options.photos)
    if options.attention and max(names.values()) > 1:
        raise InputError(f"two photos are named {names.most_common(1)[0][0]}: caption them apart")
    rows, status = [], DONE
    for photo in options.photos:
        try:
            found = captioner([photo])[0]
        except InputError as error:
            status = _fail(error)  # the other photos still get their captions
            continue
        row = {"photo": photo, "caption": found.text, "log_prob": round(found.log_prob, 4)}
        if options.attention:
            from sat_keras.visualize import save_attention

            picture = Path(options.attention) / f"{Path(photo).name}.png"
            save_attention(photo, found, picture)
            row["attention"] = str(picture)
        rows.append(row)
    return {"captions": rows}, status


def export(options):
    """Writes a run or a preset as one .tflite file, or as a SavedModel for TensorFlow Serving."""
    from sat_keras.run import load_captioner, trained_on

    dataset = trained_on(options.run)
    quantization = (options.quantize, options.quantize_decoder, options.photos)
    training = _named(loss=options.qat_loss, epochs=options.qat_epochs)
    compression = _named(
        sparsity=options.sparsity, pattern=options.pattern, clusters=options.clusters
    )
    if training and options.quantize != "qat":
        raise InputError("--qat-loss and --qat-epochs are of --quantize qat: name it too")
    if options.format == "saved-model":
        from sat_export.saved_model import export_saved_model

        if quantization != ("none", None, None) or compression:
            raise InputError("a SavedModel is float32: leave quantisation and compression out")
        folder = export_saved_model(load_captioner(options.run), options.out, **_search(options))
        return {"folder": str(folder), **_search(options)}, DONE
    from sat_export import export_tflite

    if options.beam_width > 1:
        raise InputError("a .tflite file takes its beam width when it captions: leave it out")
    if Path(options.out).is_dir():
        raise InputError(f"{options.out} is a folder: name a file")
    size = export_tflite(
        load_captioner(options.run),
        options.out,
        *quantization,
        trained_on=dataset,
        compression=compression or None,
        target=options.target,
        **training,
    )
    return {"file": options.out, "quantize": options.quantize, "bytes": size}, DONE


def verify(options):
    """Compares an exported artefact with the run or preset it came from, on real photos."""
    from sat_export.verify import verify
    from sat_keras.run import load_captioner, trained_on

    options.dataset = trained_on(options.run)
    if options.dataset is None:
        raise InputError(
            f"{options.run}: does not say what it was trained on: save_to_preset(trained_on=...)"
        )
    captioner, builder = load_captioner(options.run), _records(options)
    result = verify(
        captioner, options.artefact, builder, options.split, options.limit, options.most_lost
    )
    if options.out:
        with atomic_output(options.out) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n")
    status = DONE if result["passed"] else _fail(f"{options.artefact}: {result['why']}")
    return result, status


def benchmark(options):
    """Times a .tflite file: cold start, captions, memory, beside its plain encoder."""
    from sat_export.benchmark import benchmark

    captioner = None
    if options.run:
        from sat_keras.run import load_captioner

        captioner = load_captioner(options.run)
    return benchmark(options.file, options.photo, captioner), DONE


def report(options):
    """Writes one HTML page about a run: scores, curves, captions with attention."""
    from sat_keras.report import write_report
    from sat_keras.run_config import RunConfig

    options.dataset = RunConfig.load(options.run).dataset
    out = options.out or str(Path(options.run) / "report.html")
    builder = _records(options)
    scores = write_report(options.run, out, builder, options.split, **_search(options))
    return {"page": out, **scores}, DONE


# === What verbs share ===


def _records(options):
    from sat_keras.datasets import build_records

    return build_records(options.dataset, Path(options.cache) / "records", options.data_dir)


def _annotations(options):
    return Path(options.cache) / "annotations"


def _captioner(options):
    """A callable, list of photos to list of `Caption`, of a run, a preset or a .tflite file."""
    path, search = options.model, _search(options)
    if Path(path).suffix == ".tflite":
        from sat_edge import Captioner

        captioner = Captioner(path)
        return lambda photos: [captioner.caption(photo, **search) for photo in photos]
    from sat_keras.run import load_captioner

    captioner = load_captioner(path)
    return lambda photos: captioner.caption(photos, **search)


def _consensus(options, builder):
    """The same, of a run or preset and those of `--consensus`."""
    from sat_keras.run import load_consensus

    if options.beam_width == 1:
        raise InputError("--consensus chooses among captions: name a --beam-width above 1")
    if options.split == "train":
        raise InputError(
            "--consensus knows what was said of the training photos: name another split"
        )
    runs = [options.model, *options.consensus]
    consensus = load_consensus(runs, builder, _annotations(options))
    search = _search(options)
    return lambda photos: consensus.caption(photos, **search)


def _made_with(model):
    """How a model was made: a run's settings, or what a .tflite file says of itself."""
    if Path(model).suffix == ".tflite":
        from sat_edge import Captioner

        return {"file": Captioner(model).settings}
    from sat_keras import pretrained
    from sat_keras.run_config import RunConfig

    if pretrained.is_preset(model):
        return {"preset": model}
    return {"run": dataclasses.asdict(RunConfig.load(model))}


def _search(options):
    names = ("beam_width", "length_penalty", "no_repeat_ngram")
    return {name: getattr(options, name) for name in names}


def _named(**settings):
    """Those that the command line names."""
    return {name: value for name, value in settings.items() if value is not None}


def _verbosity():
    return 1 if sys.stderr.isatty() else 2


def _given(options, config_class):
    """The settings that the command line names, the others keep their defaults."""
    names = {field.name for field in dataclasses.fields(config_class)}
    return {name: value for name, value in vars(options).items() if name in names}


# === Options ===


def _parser():
    from sat_keras.presets import PRESETS

    parser = argparse.ArgumentParser(
        prog="sat-keras", description="Image captioning with visual attention."
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    verb = _add_verb(verbs, demo)
    verb.add_argument("--out", default="demo", help="folder for all it makes (default: demo)")

    verb = _add_verb(verbs, prepare)
    _add_dataset(verb)
    _add_settings(verb)

    verb = _add_verb(verbs, train, "stopped; --resume goes on after the last complete epoch")
    _add_dataset(verb)
    verb.add_argument("--out", required=True, metavar="RUN", help="the run folder")
    begin = verb.add_mutually_exclusive_group()
    begin.add_argument("--resume", action="store_true", help="go on with the run in RUN")
    begin.add_argument(
        "--preset",
        choices=PRESETS,
        help="settings, in phases, that were found best; those named beside it go before",
    )
    _add_settings(verb)

    verb = _add_verb(verbs, evaluate)
    verb.add_argument("model", metavar="RUN|PRESET|FILE.tflite")
    _add_dataset(verb)
    _add_split(verb)
    verb.add_argument(
        "--out",
        type=_file,
        metavar="FILE.json",
        help="write scores, settings, versions and captions there",
    )
    verb.add_argument(
        "--consensus",
        nargs="*",
        metavar="RUN|PRESET",
        help="of all captions that beam search finds, by it and by those named here, take the one "
        "that agrees best with what was said of training photos like it",
    )
    _add_search(verb)

    verb = _add_verb(verbs, report)
    verb.add_argument("run", metavar="RUN")
    _add_places(verb)
    verb.add_argument("--split", default="test", choices=_SPLITS)
    verb.add_argument("--out", type=_file, metavar="FILE.html", help="default: RUN/report.html")
    _add_search(verb)

    verb = _add_verb(verbs, caption)
    verb.add_argument("model", metavar="RUN|PRESET|FILE.tflite")
    verb.add_argument("photos", nargs="+", metavar="PHOTO")
    verb.add_argument("--attention", metavar="DIR", help="write an attention picture a photo")
    _add_search(verb)

    verb = _add_verb(verbs, verify)
    verb.add_argument("run", metavar="RUN|PRESET")
    verb.add_argument("artefact", metavar="FILE.tflite|FOLDER")
    _add_places(verb)
    _add_split(verb)
    verb.add_argument(
        "--most-lost",
        type=float,
        default=0.05,
        metavar="X",
        help="share of CIDEr that a quantised file may lose (default: 0.05)",
    )
    verb.add_argument("--out", type=_file, metavar="FILE.json")

    verb = _add_verb(verbs, benchmark)
    verb.add_argument("file", metavar="FILE.tflite")
    verb.add_argument("photo", metavar="PHOTO")
    verb.add_argument("--run", metavar="RUN|PRESET", help="time what it came from too")

    verb = _add_verb(verbs, export)
    verb.add_argument("run", metavar="RUN|PRESET")
    verb.add_argument("--format", default="tflite", choices=("tflite", "saved-model"))
    verb.add_argument(
        "--target",
        default="cpu",
        choices=("cpu", "gpu"),
        help="gpu: `encode` and `step` alone, which run on a GPU whole (default: cpu)",
    )
    schemes = ("none", "float16", "dynamic", "int8", "qat", "int4")
    verb.add_argument("--quantize", default="none", choices=schemes)
    verb.add_argument(
        "--quantize-decoder",
        choices=("none", "float16", "dynamic", "int4"),
        help="default: as --quantize has it",
    )
    verb.add_argument(
        "--photos",
        metavar="DIR",
        help="some like yours: int8 and int4 find their ranges on them, the others learn on them",
    )
    verb.add_argument(
        "--qat-loss",
        choices=("annotations", "words"),
        help="what qat keeps: what the encoder says, or what is made of it too "
        "(default: annotations)",
    )
    verb.add_argument("--qat-epochs", type=_count, metavar="N", help="default: 2")
    verb.add_argument("--sparsity", type=float, metavar="X", help="share of weights made zero")
    verb.add_argument("--pattern", choices=("any", "2:4"), help="where zeros are (default: any)")
    verb.add_argument("--clusters", type=_count, metavar="N", help="different weights of a kernel")
    verb.add_argument("--out", required=True, metavar="FILE.tflite|FOLDER")
    _add_search(verb)
    return parser


def _add_verb(verbs, function, when_stopped="stopped"):
    verb = verbs.add_parser(function.__name__, help=function.__doc__, description=function.__doc__)
    verb.set_defaults(verb=function, when_stopped=when_stopped)
    verb.add_argument("--json", action="store_true", help="print the result as one JSON object")
    return verb


def _add_dataset(verb):
    verb.add_argument(
        "dataset", metavar="DATASET", help="shapes, flickr8k, flickr30k, coco or folder"
    )
    _add_places(verb)


def _add_places(verb):
    verb.add_argument("--data-dir", metavar="DIR", help="where the data set's own files are")
    verb.add_argument(
        "--cache",
        metavar="DIR",
        default=os.environ.get("SAT_KERAS_CACHE", str(Path.home() / ".cache" / "sat_keras")),
        help="where records and annotations are kept (default: %(default)s)",
    )


def _add_split(verb):
    verb.add_argument("--split", default="test", choices=_SPLITS)
    verb.add_argument("--limit", type=_count, metavar="N", help="only the first N photos")


def _add_search(verb):
    group = verb.add_argument_group("search")
    group.add_argument(
        "--beam-width", type=_count, default=1, metavar="K", help="default: 1, greedy"
    )
    group.add_argument(
        "--length-penalty",
        type=float,
        default=0.0,
        metavar="X",
        help="captions are ranked by log-probability / length^X (default: 0)",
    )
    group.add_argument(
        "--no-repeat-ngram",
        type=int,
        default=0,
        metavar="N",
        help="no N words in a row twice (default: 0, off)",
    )


def _file(text):
    if Path(text).is_dir():  # said now, not after an hour
        raise argparse.ArgumentTypeError(f"{text} is a folder: name a file")
    return text


def _count(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _add_settings(verb):
    """One option for each field of `RunConfig`: its defaults are the command line's."""
    from sat_keras.run_config import RunConfig

    group = verb.add_argument_group("settings")
    for field in dataclasses.fields(RunConfig):
        if field.name == "dataset":
            continue
        option = "--" + field.name.replace("_", "-")
        common = {"default": argparse.SUPPRESS, "help": f"default: {field.default}"}
        if field.type is bool:
            group.add_argument(option, action=argparse.BooleanOptionalAction, **common)
        else:
            kind = field.type if isinstance(field.type, type) else str  # str | None
            group.add_argument(option, type=kind, metavar=kind.__name__.upper(), **common)


if __name__ == "__main__":
    sys.exit(main())
