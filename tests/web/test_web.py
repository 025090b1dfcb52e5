"""The web app: npm's clean install, unit tests, build, and the built page in a real Chromium."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "export" / "web"
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def npm(tmp_path_factory):
    """A function that runs npm in the app's folder, after `npm ci`, with what Python expects."""
    if not shutil.which("npm"):
        pytest.skip("npm is missing: apt-get install nodejs npm")
    folder = tmp_path_factory.mktemp("fixtures")
    shared = Path(os.environ.get("SAT_KERAS_SHARED") or WEB.parents[2] / "shared")
    environment = {**os.environ, "SAT_FIXTURES": str(folder), "SAT_KERAS_SHARED": str(shared)}
    write = [sys.executable, Path(__file__).with_name("fixtures.py"), folder]
    subprocess.run(write, check=True, env=environment)

    def run(*arguments):
        subprocess.run(["npm", *arguments], cwd=WEB, check=True, env=environment)

    run("ci", "--no-audit", "--no-fund")
    return run


def test_search_settings_resize_and_model_file(npm):
    npm("test")


def test_the_built_page_in_chromium(npm):
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium, or set CHROMIUM")
    npm("run", "build")
    npm("run", "test:browser")


def test_no_private_address_in_the_lock_file():
    lines = (WEB / "package-lock.json").read_text().splitlines()
    resolved = [line for line in lines if '"resolved"' in line]
    assert all("https://registry.npmjs.org/" in line for line in resolved)
    assert sum('"integrity"' in line for line in lines) > 20
