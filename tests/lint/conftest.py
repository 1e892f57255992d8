# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lint tests share: the trees that the linters read."""

import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='session')
def plain_build():
    """The engine compiled by clang without instrumentation, with a compile database."""
    subprocess.run([TOP / 'scripts/engine-build', 'plain'], check=True)
    return TOP / 'build/plain'


@pytest.fixture(scope='session')
def qemu_source():
    """QEMU's source, which brings checkpatch.pl."""
    subprocess.run([TOP / 'scripts/qemu-source'], check=True)
    return TOP / 'build/src/qemu'
