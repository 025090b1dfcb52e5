"""The one table of quantisation schemes."""

import subprocess
import sys

import pytest

from sat_edge import InputError
from sat_export import schemes
from sat_export.schemes import DECODER_SCHEMES, SCHEMES, Scheme, check_target, choose


def test_no_tensorflow_in_that_process():
    code = (
        "import sys, sat_export.schemes\n"
        "print([m for m in ('tensorflow', 'keras', 'sat_keras') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_table_is_the_document_s():
    """Each scheme of the module's own table is there, and no other."""
    rows = [line[4:15].strip() for line in schemes.__doc__.splitlines() if line.startswith("    ")]
    assert [name for name in rows if name][1:] == list(SCHEMES)


def test_the_decoder_takes_what_needs_no_photos():
    assert DECODER_SCHEMES == ("none", "float16", "dynamic", "int4")
    assert {name for name, each in SCHEMES.items() if each.needs_photos} == {"int8", "qat", "int4"}


@pytest.mark.parametrize(
    ("encoder", "decoder", "wanted"),
    [
        ("none", None, Scheme("none", "none")),
        ("int8", None, Scheme("int8", "dynamic", observes=True)),
        ("qat", "int4", Scheme("qat", "int4", learns=True, runs_on_gpu=False, least_litert="2.1")),
        ("none", "float16", Scheme("none", "float16", runs_on_gpu=False)),
        (
            "int4",
            "none",
            Scheme("int4", "none", observes=True, runs_on_gpu=False, least_litert="2.1"),
        ),
    ],
)
def test_parts_of_different_schemes(encoder, decoder, wanted):
    assert choose(encoder, decoder) == wanted


@pytest.mark.parametrize("names", [("int3",), ("none", "int8"), ("none", "qat")])
def test_unknown_names(names):
    with pytest.raises(InputError, match=f"unknown quantisation '{names[-1]}': choose one of"):
        choose(*names)


def test_what_a_gpu_takes():
    for name, scheme in SCHEMES.items():
        check_target(scheme, "cpu")
        if name not in ("float16", "int4"):
            check_target(scheme, "gpu")
            continue
        with pytest.raises(InputError, match="GPUs take none, dynamic, int8, qat; quan"):
            check_target(scheme, "gpu")
