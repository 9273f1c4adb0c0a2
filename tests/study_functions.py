"""Calls that tests spread over processes and clusters; here, so that workers can import them."""

import os
import signal
import time
from pathlib import Path


def square(number):
    return number * number


def refuse(number):
    if number == 3:
        raise ValueError("three is refused")
    return number


def die_once(folder):
    """Kill the own process the first time that the folder is given; later give its name."""
    mark = Path(folder, "begun")
    with open(Path(folder, "calls"), "a") as stream:
        stream.write("x")
    if "fatal" in Path(folder).name and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return Path(folder).name


def die(folder):
    """Kill the own process every time that a poison folder is given."""
    with open(Path(folder, "calls"), "a") as stream:
        stream.write("x")
    if "poison" in Path(folder).name:
        os.kill(os.getpid(), signal.SIGKILL)
    return Path(folder).name


def wait_for_release(folder):
    """Say which process works, and go on once the folder holds ``go`` or the worker is killed."""
    Path(folder, f"pid-{os.getpid()}").touch()
    until = time.monotonic() + 30
    while not Path(folder, "go").exists() and time.monotonic() < until:
        time.sleep(0.02)
    return Path(folder).name
