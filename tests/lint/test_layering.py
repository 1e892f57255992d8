# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may include whom (DESIGN 1), and what a patch may do (DESIGN 2, U2).

The engine is pure C with GLib: no QEMU header, no I/O, no clock, no mutable globals.  The
adapters know the engine only by its public headers, vnx/*.h.  The patch series holds hooks:
few lines, no logic, no new file.

Every rule here is a function from a tree to a list of complaints.  It is run on the
project, where the list must be empty, and on small made-up trees that break it, where it
must not be: a rule that cannot fail is no rule.

Not checked: which engine module may call which; that is for the reader of the essays.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)

# All that a pure computation needs of the C library, and GLib.  netinet/in.h is for constants
# and byte order, sys/uio.h for struct iovec.
PURE_HEADERS = {'assert.h', 'errno.h', 'float.h', 'inttypes.h', 'limits.h', 'math.h',
                'netinet/in.h', 'stdalign.h', 'stdarg.h', 'stdbool.h', 'stddef.h', 'stdint.h',
                'stdlib.h', 'string.h', 'sys/uio.h', 'glib.h'}

# What would make the engine read a clock, a random number, or the outside world.
IMPURE_CALLS = re.compile(
    r'^(time|clock|clock_gettime|gettimeofday|nanosleep|usleep|sleep|s?rand(om)?(_r)?|'
    r'getrandom|arc4random.*|f?open(at)?|read|write|send|recv|socket|ioctl|'
    r'f?printf|puts|putchar|perror|getenv|'
    r'g_(get_(monotonic|real)_time|random_.*|rand_.*|usleep|print|printerr|log|getenv|'
    r'timeout_.*|idle_.*|thread_.*|file_.*|warn_message))$')

MAX_ADDED_LINES = 200
MAX_ADDED_IN_HUNK = 15
LOGIC = re.compile(r'\b(for|while|switch|do|goto)\b')


def c_files(tree, *folders):
    return sorted(f for folder in folders for f in (tree / folder).rglob('*')
                  if f.suffix in ('.c', '.h'))


def includes(file):
    for kind, name in INCLUDE.findall(file.read_text()):
        yield kind, name


def engine_complaints(tree):
    """engine/ and include/ include their own headers, GLib and pure C headers only."""
    out = []
    for file in c_files(tree, 'engine', 'include'):
        public = (tree / 'include') in file.parents
        for kind, name in includes(file):
            where = f'{file.relative_to(tree)}: {name}'
            if kind == '<' and name in PURE_HEADERS:
                continue
            if (tree / 'include' / name).exists() and name.startswith('vnx/'):
                continue
            own = [tree / name, file.parent / name]
            inside = any(p.exists() and (tree / 'engine') in p.resolve().parents
                         for p in own)
            if inside and not public:
                continue
            out.append(where + (' (a public header includes a private one)'
                                if inside else ' (neither the engine\'s nor pure C)'))
    return out


def adapter_complaints(tree):
    """net-backend/ and hw-net/ reach the engine through vnx/*.h alone."""
    private = {f.relative_to(tree / 'engine') for f in c_files(tree, 'engine')}
    out = []
    for file in c_files(tree, 'net-backend', 'hw-net'):
        for _, name in includes(file):
            path = Path(name)
            reaches = 'engine' in path.parts or path in private
            if not reaches and (file.parent / path).exists():
                target = (file.parent / path).resolve()
                reaches = (tree / 'engine').resolve() in target.parents
            if name.startswith('vnx/') and not (tree / 'include' / name).exists():
                reaches = True
            if reaches:
                out.append(f'{file.relative_to(tree)}: {name} is private to the engine')
    return out


def patch_complaints(tree):
    """The series is small and holds hooks: no new file, no loops, short hunks."""
    out, total = [], 0
    series = [line for line in (tree / 'patches/series').read_text().splitlines()
              if line and not line.startswith('#')]
    listed = set(series)
    for stray in sorted(f.name for f in (tree / 'patches').glob('*.patch')):
        if stray not in listed:
            out.append(f'{stray} is not in patches/series')
    for name in series:
        in_hunk, target = 0, ''
        for number, line in enumerate((tree / 'patches' / name).read_text().splitlines(), 1):
            where = f'{name}:{number}'
            if line.startswith('--- '):
                if line.startswith('--- /dev/null'):
                    out.append(f'{where} adds a file to QEMU')
            elif line.startswith('+++ '):
                target = line[4:]
            elif line.startswith('@@'):
                in_hunk = 0
            elif line.startswith('+'):
                total += 1
                in_hunk += 1
                if in_hunk == MAX_ADDED_IN_HUNK + 1:
                    out.append(f'{where} more than {MAX_ADDED_IN_HUNK} lines in one hunk')
                if target.endswith(('.c', '.h')) and LOGIC.search(line.split('/*')[0]):
                    out.append(f'{where} logic in a hook: {line[1:].strip()}')
    if total >= MAX_ADDED_LINES:
        out.append(f'{total} added lines, {MAX_ADDED_LINES} is the limit')
    return out


def object_complaints(objects):
    """No object has writable data of its own, none asks for a clock, I/O or randomness."""
    out = []
    for obj in objects:
        table = subprocess.run(['objdump', '--syms', obj], text=True, capture_output=True,
                               check=True).stdout
        for size, name in re.findall(
                r'^[0-9a-f]+ .{5}[^d]. (?:\.t?data(?!\.rel\.ro)\S*|\.t?bss\S*|\*COM\*)\s+'
                r'([0-9a-f]+)\s+(?:\.hidden )?(\S+)$', table, re.M):
            # G_DEFINE_QUARK's cache of an interned string is GLib's business.
            if not re.search(r'(^|\.)q(\.\d+)?$', name):
                out.append(f'{obj}: writable data {name}, {int(size, 16)} bytes')
        names = subprocess.run(['nm', '--undefined-only', '--format=posix', obj],
                               text=True, capture_output=True, check=True)
        for line in names.stdout.splitlines():
            if IMPURE_CALLS.match(line.split()[0]):
                out.append(f'{obj}: calls {line.split()[0]}')
    return out


def test_engine_includes_no_qemu_header():
    """DESIGN 1: the engine knows packets, time and callbacks."""
    assert c_files(TOP, 'engine'), 'there is no engine to look at'
    assert engine_complaints(TOP) == []


def test_adapters_include_only_public_headers():
    """DESIGN 1: adapters call what include/vnx declares."""
    assert c_files(TOP, 'net-backend'), 'there is no adapter to look at'
    assert adapter_complaints(TOP) == []


def test_patches_are_hooks():
    """DESIGN 2, U2: under 200 added lines in QEMU's files, hooks only."""
    assert patch_complaints(TOP) == []


def test_engine_has_no_globals_clock_or_io(plain_build):
    """DESIGN 1: no I/O, no clock, no globals in the compiled engine."""
    objects = sorted((plain_build / 'libvnx-engine.a.p').glob('*.o'))
    assert objects
    assert object_complaints(objects) == []


@pytest.fixture
def tree(tmp_path):
    """A small tree that obeys all the rules."""
    for name, text in {
            'include/vnx/flow.h': '#include <glib.h>\n#include <stdint.h>\n',
            'engine/flow/table.h': '#include <vnx/flow.h>\n',
            'engine/flow/table.c': '#include "engine/flow/table.h"\n#include "table.h"\n',
            'net-backend/filter.c': '#include "qemu/osdep.h"\n#include <vnx/flow.h>\n',
            'hw-net/nic.c': '#include "hw/virtio/virtio-net.h"\n',
            'patches/series': '# comment\n1.patch\n',
            'patches/1.patch': '--- a/net/net.c\n+++ b/net/net.c\n@@ -1 +1,2 @@\n'
                               ' int i;\n+vnx_hook(i); /* for us */\n'}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert not engine_complaints(tmp_path)
    assert not adapter_complaints(tmp_path)
    assert not patch_complaints(tmp_path)
    return tmp_path


@pytest.mark.parametrize('file,line', [
    ('engine/flow/table.c', '#include "qemu/osdep.h"'),
    ('engine/flow/table.c', '# include <sys/socket.h>'),
    ('engine/flow/table.c', '#include <time.h>'),
    ('engine/flow/table.c', '#include "../../net-backend/filter.c"'),
    ('engine/flow/table.c', '#include <vnx/missing.h>'),
    ('include/vnx/flow.h', '#include "net/net.h"'),
    ('include/vnx/flow.h', '#include "engine/flow/table.h"')])
def test_bad_engine_include_is_found(tree, file, line):
    (tree / file).write_text(line + '\n')
    assert engine_complaints(tree)


@pytest.mark.parametrize('file,line', [
    ('net-backend/filter.c', '#include "engine/flow/table.h"'),
    ('net-backend/filter.c', '#include "flow/table.h"'),
    ('net-backend/filter.c', '#include <vnx/private.h>'),
    ('hw-net/nic.c', '#include "../engine/flow/table.h"')])
def test_bad_adapter_include_is_found(tree, file, line):
    (tree / file).write_text(line + '\n')
    assert adapter_complaints(tree)


@pytest.mark.parametrize('patch', [
    '--- /dev/null\n+++ b/net/new.c\n@@ -0,0 +1 @@\n+int i;\n',
    '--- a/net/net.c\n+++ b/net/net.c\n@@ -1 +1,2 @@\n x\n+    while (i--) {\n',
    '--- a/net/net.c\n+++ b/net/net.c\n@@ -1 +1,17 @@\n x\n' + '+    hook();\n' * 16,
    ('--- a/net/net.c\n+++ b/net/net.c\n' + '@@ -1 +1,11 @@\n x\n' + '+    hook();\n' * 10)
    * 20])
def test_bad_patch_is_found(tree, patch):
    (tree / 'patches/1.patch').write_text(patch)
    assert patch_complaints(tree)


def test_unlisted_patch_is_found(tree):
    (tree / 'patches/2.patch').write_text('')
    assert patch_complaints(tree)


@pytest.mark.parametrize('code', [
    'int counter; int next(void) { return counter++; }',
    'int next(void) { static int counter = 1; return counter++; }',
    '_Thread_local int counter; int next(void) { return counter++; }',
    '#include <time.h>\nlong now(void) { return time(0); }',
    '#include <glib.h>\ngint64 now(void) { return g_get_monotonic_time(); }',
    '#include <stdio.h>\nvoid say(int i) { printf("%d", i); }'])
def test_bad_object_is_found(tmp_path, code):
    compile_c(tmp_path, code)
    assert object_complaints([tmp_path / 'x.o'])


def test_good_object_passes(tmp_path):
    compile_c(tmp_path, 'static const int t[] = {1}; const int *p(void) { return t; }')
    assert object_complaints([tmp_path / 'x.o']) == []


def compile_c(folder, code):
    (folder / 'x.c').write_text(code + '\n')
    flags = subprocess.run(['pkg-config', '--cflags', 'glib-2.0'], text=True,
                           capture_output=True, check=True).stdout.split()
    subprocess.run([os.environ.get('CC', 'cc'), '-fPIC', '-O1', *flags, '-c', 'x.c'],
                   cwd=folder, check=True)
