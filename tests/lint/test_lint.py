# SPDX-License-Identifier: GPL-2.0-or-later
"""Linters: clang-tidy and cppcheck read the engine, QEMU's checkpatch the adapters and the
patches, shellcheck the scripts.  A warning is a failure.  One file of one linter by name:
"pytest tests/lint -k 'clang_tidy and table'"."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]


def files(*patterns):
    found = sorted(str(f.relative_to(TOP)) for p in patterns for f in TOP.glob(p)
                   if f.is_file())
    return found


def run(*command):
    return subprocess.run([str(c) for c in command], cwd=TOP, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def must_pass(result):
    if result.returncode:
        pytest.fail(result.stdout, pytrace=False)


@pytest.fixture(scope='session')
def tidy(plain_build, request):
    """Start clang-tidy for each file that is asked for, as many at once as there are cores."""
    wanted = [item.callspec.params['file'] for item in request.session.items
              if item.originalname == 'test_clang_tidy']
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {file: pool.submit(run, 'clang-tidy', '--quiet', '-p', plain_build, file)
               for file in wanted}


@pytest.mark.parametrize('file', files('engine/**/*.c'))
def test_clang_tidy(tidy, file):
    must_pass(tidy[file].result())


def test_cppcheck_engine():
    must_pass(run('cppcheck', '--quiet', '--error-exitcode=1', '--std=c11', '--library=gtk',
                  '--enable=warning,performance,portability', '--inline-suppr',
                  '--suppress=missingIncludeSystem', '-DG_DEFINE_QUARK(name,quark)=',
                  '-Iinclude', '-I.', 'engine'))


def checkpatch(qemu_source, *arguments):
    """QEMU's checkpatch, but for its warning that a line is over 80: our limit is its hard
    one, 90."""
    result = run(qemu_source / 'scripts/checkpatch.pl', '--no-tree', '--no-signoff',
                 '--terse', '--no-summary', *arguments)
    complaints = [line for line in result.stdout.splitlines()
                  if line.strip() and not line.endswith('WARNING: line over 80 characters')]
    if complaints:
        pytest.fail('\n'.join(complaints), pytrace=False)


@pytest.mark.parametrize('file', files('net-backend/**/*.[ch]', 'hw-net/**/*.[ch]',
                                       'tests/qtest/**/*.[ch]'))
def test_checkpatch_adapter(qemu_source, file):
    checkpatch(qemu_source, '-f', file)


@pytest.mark.parametrize('file', files('patches/*.patch'))
def test_checkpatch_patch(qemu_source, file):
    checkpatch(qemu_source, file)


def test_checkpatch_can_fail(qemu_source, tmp_path):
    (tmp_path / 'bad.c').write_text('int f(void)\n{\n\tif (1) return 2;\n}\n')
    with pytest.raises(pytest.fail.Exception):
        checkpatch(qemu_source, '-f', tmp_path / 'bad.c')


def shell_scripts():
    return [f for f in files('scripts/*', '.ci/*', 'tests/**/*.sh')
            if (TOP / f).read_bytes()[:11] in (b'#!/bin/bash', b'#!/bin/sh\n#')]


@pytest.mark.parametrize('file', shell_scripts())
def test_shellcheck(file):
    must_pass(run('shellcheck', '--severity=warning', '--external-sources', file))


def test_license_headers():
    """Every source file says under which license it stands."""
    tracked = run('git', 'ls-files', '*.c', '*.h', '*.py', '*.sh', 'scripts', 'Makefile',
                  '*.json').stdout.splitlines()
    exempt = {'scripts/packages.txt'}
    bare = [f for f in tracked if f not in exempt and (TOP / f).is_file() and
            'SPDX-License-Identifier: GPL-2.0-or-later' not in
            (TOP / f).read_text(errors='replace')]
    assert not bare, 'no SPDX line in ' + ' '.join(bare)
