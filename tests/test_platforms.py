"""What other systems lack, tried by taking it away: Windows has no owners of files, and opens no folders."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sagewire.bulk.files.storage import sync_folder
from sagewire.errors import UsageError
from sagewire.gateway.accounting.database import open_store
from sagewire.gateway.config import parse_config
from sagewire.gateway.server.run import Plan, serve

ROOT = Path(__file__).parents[1]


@pytest.fixture
def windows(tmp_path, monkeypatch):
    def no_folders(path, flags, *mode, **options):
        if Path(path).is_dir():
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags, *mode, **options)

    opened = os.open
    monkeypatch.setattr(os, "open", no_folders)
    monkeypatch.delattr(os, "getuid")
    monkeypatch.setattr(sys, "platform", "win32")


def test_a_database_in_a_file(windows, tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'keys' / 'gateway.db'}")
    assert list(store.all_keys()) == []
    store.close()


def test_files_are_published(windows, tmp_path):
    sync_folder(tmp_path)


def test_several_workers_are_refused(windows):
    config = parse_config("models: {m: {endpoint: e}}")
    with pytest.raises(UsageError, match="several workers cannot share a socket on Windows"):
        serve(Plan(config, workers=2))


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_nothing_is_used_that_is_not_there(platform, tmp_path):
    command = [sys.executable, "-m", "mypy", "--platform", platform, "--cache-dir", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
