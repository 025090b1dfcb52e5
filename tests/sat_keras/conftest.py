import shutil

import pytest


@pytest.fixture
def without_java(monkeypatch):
    """METEOR takes seconds to start, and is left out where there is no Java."""
    monkeypatch.setattr(shutil, "which", lambda *_: None)
