"""Code blocks of the documentation's pages, and how they are run."""

import glob
import os
import re
import shlex
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import warm_process
from medbench.core.package import PACKAGE

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^( *)```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_TINY = re.compile(r"^<!-- tiny: (.+?) -> (.+?) -->$", re.MULTILINE)


def blocks(page):
    """Language, title and text of every block of a page, with the page's tiny settings in place of its own.

    ``<!-- tiny: A -> B -->`` says what the suite runs instead, so that a page need not show it.
    """
    text = page.read_text(encoding="utf-8")
    tiny = _TINY.findall(text)
    for indent, language, title, body in _BLOCK.findall(text):
        code = textwrap.dedent(body) if indent else body
        for shown, run in tiny if language in ("bash", "toml") else ():
            code = code.replace(shown, run)
        yield language, title, code


def run_page(page, folder):
    """Write the page's titled files, then run its tests and commands in a folder; what these print.

    Raises:
        AssertionError: with the output, where one of them fails.
    """
    outputs = []
    for language, title, code in blocks(page):
        if title and language != "text":
            (folder / title).write_text(code, encoding="utf-8")
        if title.startswith("test_"):
            outputs.append(called([sys.executable, title], folder))
        elif language == "bash" and (calls := own_commands(code, folder)):
            outputs.append("".join(in_warm_process(words, folder) for words in calls))
        elif language == "bash":
            wrapped = f'medbench() {{ {shlex.quote(sys.executable)} -m medbench "$@"; }}\nset -eu\n{code}'
            outputs.append(called(["bash", "-c", wrapped], folder))
    return outputs


def own_commands(code, folder):
    """Words of every command where a block holds commands of medbench alone, as a shell would split them."""
    lines = code.replace("\\\n", " ").strip().splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    if re.search(r"[$`|<>;&]", code) or any(line[:1] != ["medbench"] for line in words):
        return []
    return [[name for word in line[1:] for name in expanded(word, folder)] for line in words]


def expanded(word, folder):
    """Files that a word with a star stands for."""
    return sorted(glob.glob(word, root_dir=folder)) if "*" in word else [word]


def in_warm_process(words, folder):
    """Standard output of a command of medbench that must end with 0."""
    with tempfile.TemporaryDirectory() as output:
        own = {name: None for name in os.environ if name.startswith("MEDBENCH_") and name != "MEDBENCH_CACHE"}
        done = warm_process.call(words, Path(output), folder, **own, **settings_in(folder))
    assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def settings_in(folder):
    """Environment of what runs in a folder."""
    return {
        "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), str(folder)]),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "160",
    }


def called(command, folder):
    """Standard output of a command that must end with 0."""
    settings = settings_in(folder)
    own = {
        name: value
        for name, value in os.environ.items()
        if name == "MEDBENCH_CACHE" or not name.startswith("MEDBENCH_")
    }
    done = subprocess.run(
        command, cwd=folder, env={**own, **settings}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout
