"""What is refused, and in what words."""

import pytest

from medbench.core.errors import MedbenchError


def refused(code, action):
    """Message of the error of that code with which an action ends; one line."""
    with pytest.raises(MedbenchError) as caught:
        action()
    assert caught.value.code == code
    assert "\n" not in caught.value.message
    return caught.value.message
