"""Ctrl-C ends every command with 130 and one line."""

import builtins
import os
import signal
import subprocess
import sys
import textwrap

import pytest
import typer

from medbench import __main__ as program
from medbench.cli import main as command_line

LINE = "Interrupted. Repeat the command to go on."


def leaves(group, words=()):
    """Words of every command of the program."""
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from leaves(command, (*words, name))
        else:
            yield (*words, name), command


COMMANDS = dict(leaves(typer.main.get_command(command_line.app)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_says_how_to_go_on(words, monkeypatch, capsys):
    commands = typer.main.get_command(command_line.app)
    command = commands
    for word in words:
        command = command.commands[word]

    def interrupted(**options):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "callback", interrupted)
    monkeypatch.setattr(command, "params", [])
    monkeypatch.setattr(command_line, "app", lambda arguments, **settings: commands(arguments, **settings))
    monkeypatch.setattr(sys, "argv", ["medbench", *words])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err.strip() == LINE


def test_an_interruption_while_the_program_is_imported_ends_like_any_other(monkeypatch, capsys):
    imported = builtins.__import__

    def interrupted(name, *arguments, **settings):
        if name == "medbench.cli.main":
            raise KeyboardInterrupt
        return imported(name, *arguments, **settings)

    monkeypatch.setattr(builtins, "__import__", interrupted)
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err.strip() == LINE


def test_an_interruption_that_a_library_turns_into_another_error_is_one(monkeypatch, capsys):
    """As numpy does where Ctrl-C meets it while it is loaded, and it is loaded again."""
    outside = signal.signal(signal.SIGINT, signal.default_int_handler)  # which jobs in the background ignore

    def swallowed(arguments, **settings):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("cannot load module more than once per process") from None

    monkeypatch.setattr(command_line, "app", swallowed)
    monkeypatch.setattr(sys, "argv", ["medbench", "models"])
    try:
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, outside)
    assert ended.value.code == 130
    assert capsys.readouterr().err.strip() == LINE


def test_before_an_interruption_is_waited_for_next_to_nothing_is_imported():
    """Until then Python itself ends an interrupted program, with a traceback."""
    code = (
        "import sys; before = set(sys.modules); import medbench.__main__; print(*set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    own = {"medbench", "medbench.__main__", "medbench.core", "medbench.core.interruption"}
    assert set(done.stdout.split()) - {"__future__"} == own


def test_an_interruption_of_text_that_a_library_runs_ends_with_the_exit_code(tmp_path):
    """``python -m`` would end by SIGINT, caught as the interruption is."""
    text = """
        import builtins, ctypes, sys
        from medbench.core.interruption import exit_by_code
        def interrupt():
            raise KeyboardInterrupt
        builtins.interrupt = interrupt
        run = ctypes.pythonapi.PyRun_String
        run.restype = ctypes.py_object
        scope = ctypes.py_object({"__builtins__": builtins})
        try:
            run(b"interrupt()", 257, scope, scope)
        except KeyboardInterrupt:
            exit_by_code()
        sys.exit(130)
    """
    (tmp_path / "program.py").write_text(textwrap.dedent(text))
    place = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    assert subprocess.run([sys.executable, "-m", "program"], env=place, check=False).returncode == 130
