"""The notebooks as they are stored, and, slowly, that they run to their end."""

import ast
import base64
import io
import re
import sys
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient
from PIL import Image

PATHS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
MOST_BYTES = 400_000
PROJECT = {"sat_keras", "sat_export", "sat_edge"}
IMPORTED = {*sys.stdlib_module_names, *PROJECT, "numpy", "PIL", "matplotlib", "keras", "tensorflow"}
PLOTS = {"subplots", "attention_figure"}
MACHINE = re.compile(r"(?<![\w.])/(root|home|work|tmp|usr|var|opt|mnt|Users)/|[A-Z]:\\")

# Trainings that a lesson needs no result of are shorter here: what is written, what stands for it.
SHORTER = {
    "01_train": ("EPOCHS = 3", "EPOCHS = 1"),
    "04_your_photos": ('"epochs": 6', '"epochs": 1'),
}

every_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def parse(cell):
    """A code cell's Python, magics made calls."""
    return ast.parse(TransformerManager().transform_cell(cell.source))


def text_of(cell):
    """All of a cell that is written, outputs too, pictures left out."""
    parts = [cell.source]
    for output in cell.get("outputs", ()):
        parts.append(output.get("text", ""))
        data = output.get("data", {})
        parts += [content for kind, content in data.items() if not kind.startswith("image/")]
    return "\n".join(parts)


def pictures(cell):
    found = [each.data for each in cell.outputs if "data" in each]
    encoded = [data[kind] for data in found for kind in data if kind.startswith("image/")]
    return [Image.open(io.BytesIO(base64.b64decode(each))) for each in encoded]


def called(cell):
    calls = [node.func for node in ast.walk(parse(cell)) if isinstance(node, ast.Call)]
    return {getattr(each, "attr", getattr(each, "id", None)) for each in calls}


def assert_plots_are_there(notebook):
    plotting = [cell for cell in code_cells(notebook) if called(cell) & PLOTS]
    assert len(plotting) >= 3
    for cell in plotting:
        assert len(pictures(cell)) == 1, cell.source
        assert min(pictures(cell)[0].size) > 100
        assert len(set(pictures(cell)[0].convert("L").tobytes())) > 20, cell.source  # not blank


def test_there_are_four():
    assert [path.stem for path in PATHS] == [
        "01_train",
        "02_attention",
        "03_export",
        "04_your_photos",
    ]


@every_notebook
def test_valid_and_small(path):
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert path.stat().st_size < MOST_BYTES
    assert set(notebook.metadata) == {"kernelspec", "language_info"}  # nothing of a machine
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert not cell.metadata
        assert not MACHINE.search(text_of(cell)), cell.source


@every_notebook
def test_stored_as_it_ran_once_from_top_to_bottom(path):
    notebook = nbformat.read(path, as_version=4)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert outputs
    for output in outputs:
        assert output.output_type != "error"
        assert output.get("name") != "stderr"  # progress bars, warnings
    assert_plots_are_there(notebook)


@every_notebook
def test_reads_as_a_lesson(path):
    notebook = nbformat.read(path, as_version=4)
    assert notebook.cells[0].source.startswith(f"# {int(path.stem[:2])}. ")
    for cell in code_cells(notebook):
        assert not cell.source.startswith("%%")  # %%capture swallows errors, too
        assert len(cell.source.splitlines()) <= 24, cell.source  # short cells
    told = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    assert len(told) >= len(code_cells(notebook)) / 2
    for target in re.findall(r"\]\((\w+\.ipynb)\)", "\n".join(cell.source for cell in told)):
        assert (path.parent / target).is_file()


@every_notebook
def test_only_imports(path):
    imported = set()
    for cell in code_cells(nbformat.read(path, as_version=4)):
        for node in ast.walk(parse(cell)):
            assert not isinstance(
                node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
            ), cell.source
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.partition(".")[0])
    assert imported <= IMPORTED
    assert imported & PROJECT


def test_all_begin_with_the_same_installation():
    first = {code_cells(nbformat.read(path, as_version=4))[0].source for path in PATHS}
    assert len(first) == 1
    assert "%pip install" in first.pop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the lessons are taken one after the other: the third goes on with the second's run."""
    return tmp_path_factory.mktemp("notebooks")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@every_notebook
def test_runs_to_its_end(path, folder):
    notebook = nbformat.read(path, as_version=4)
    long, short = SHORTER.get(path.stem, ("", ""))
    assert sum(long in cell.source for cell in code_cells(notebook)) >= 1
    for cell in code_cells(notebook):
        cell.outputs = []
        cell.source = cell.source.replace(long, short)
    # jupyter_client starts the kernel `python3` with the Python that runs this.
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=1800, kernel_name="python3", resources=where).execute()
    assert_plots_are_there(notebook)
