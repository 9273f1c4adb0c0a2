"""Commands of medbench in processes of their own, which are forked from one that has imported
torch and Lightning.

A process that a shell starts spends most of a tiny run on that import; what else it would find fresh, it
finds fresh here too.
"""

import multiprocessing
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["torch", "lightning.pytorch"])


def start(arguments, output, cwd=None, **environment):
    """Start ``medbench`` with arguments; its streams go to ``output/out`` and ``output/err``.

    A variable of the environment that is ``None`` is left out.
    """
    settings = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
    process = CONTEXT.Process(
        target=_command, args=([str(one) for one in arguments], output, cwd or Path.cwd(), settings)
    )
    process.start()
    return process


def call(arguments, output, cwd=None, **environment):
    """Wait for ``medbench`` with arguments: its exit code and what it wrote."""
    process = start(arguments, output, cwd, **environment)
    process.join()
    told = {name: (output / name).read_text() for name in ("out", "err")}
    return SimpleNamespace(returncode=process.exitcode, stdout=told["out"], stderr=told["err"])


def wait_for_no_disk():
    """Do not wait for the disk: what a power cut would leave is what ``tests/core/test_files.py`` tests."""
    os.fsync = lambda _: None


def as_a_shell_starts_it():
    """Give this process, which is forked from one that waits, what one of its own has."""
    wait_for_no_disk()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that run in the background ignore Ctrl-C
    os.setsid()  # a group of its own, so that it can be killed with what it started
    multiprocessing.set_start_method(None, force=True)


def _command(arguments, output, cwd, settings):
    as_a_shell_starts_it()
    os.environ.clear()
    os.environ.update(settings)
    os.chdir(cwd)
    for name, stream in (("out", 1), ("err", 2)):
        os.dup2(os.open(output / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    own = [path for path in settings.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:0] = [path for path in own if path not in sys.path]
    sys.argv = ["medbench", *arguments]

    from medbench.cli.main import main

    main()
