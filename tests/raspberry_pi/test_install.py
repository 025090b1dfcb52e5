"""The installer and the service, as far as they can be without a Raspberry Pi."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

RASPBERRY_PI = Path(__file__).parents[2] / "export" / "raspberry_pi"
SCRIPTS = [RASPBERRY_PI / "install.sh", RASPBERRY_PI / "emulate.sh"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_sound(script):
    subprocess.run(["bash", "-n", script], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", script], check=True)


def install(tmp_path, *arguments, **programs):
    """Runs install.sh where some programs print something else, or are missing (`None`)."""
    path = tmp_path / "bin"
    path.mkdir()
    for name in ("bash", "dirname", "sed", "id", "mkdir", "df", "tail", "tr", "python3", "getconf"):
        (path / name).symlink_to(shutil.which(name))
    for name, output in {"uname": "aarch64", "getconf": "64", "id": "1000", **programs}.items():
        (path / name).unlink(missing_ok=True)
        if output is not None:
            (path / name).write_text(f"#!/bin/sh\necho '{output}'\n")
            (path / name).chmod(0o755)
    environment = {"PATH": str(path), "HOME": str(tmp_path / "home")}
    command = [path / "bash", RASPBERRY_PI / "install.sh", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize(
    ("programs", "message"),
    [
        ({"uname": "armv7l"}, "this machine is armv7l; the runtime needs a 64-bit ARM system"),
        ({"getconf": "32"}, "a 32-bit system on a 64-bit processor: install Raspberry Pi OS (64"),
        ({"python3": None}, "no python3: sudo apt install python3 python3-venv"),
        ({"df": "Avail\n 12M"}, "12 MB free at {home}/.local/share/sat-caption, 400 needed"),
    ],
)
def test_what_a_machine_lacks_is_said(tmp_path, programs, message):
    done = install(tmp_path, **programs)
    assert done.returncode == 1
    assert f"install.sh: {message.format(home=tmp_path / 'home')}" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "home/.local/share/sat-caption/venv").exists()


def test_an_old_python_is_named(tmp_path):
    (tmp_path / "old").write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit\nexit 1\n'
    )
    (tmp_path / "old").chmod(0o755)
    done = install(tmp_path, python3=f'\'; exec {tmp_path}/old "$@" #')
    assert done.returncode == 1
    assert "Python 3.9.2 is too old: Python 3.11 or later" in done.stderr


def test_a_service_needs_root_and_a_model(tmp_path):
    assert install(tmp_path, "--service").returncode == 2
    shutil.rmtree(tmp_path / "bin")
    done = install(tmp_path, "--service", "none.tflite", "photos")
    assert "a service is installed by root" in done.stderr
    shutil.rmtree(tmp_path / "bin")
    done = install(tmp_path, "--service", "none.tflite", "photos", id="0")
    assert done.stderr == "install.sh: none.tflite: no such file\n"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_takes_the_service(tmp_path):
    unit = (RASPBERRY_PI / "sat-caption.service").read_text()
    command = "/opt/sat-caption/bin/sat-caption"
    assert command in unit
    path = tmp_path / "sat-caption.service"
    path.write_text(unit.replace(command, "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_service_leaves_the_processor_readable():
    # Without /proc/cpuinfo the runtime takes the processor for an unknown one.
    lines = (RASPBERRY_PI / "sat-caption.service").read_text().splitlines()
    assert not [line for line in lines if line.startswith("ProcSubset")]
    assert os.access(RASPBERRY_PI / "install.sh", os.X_OK)
