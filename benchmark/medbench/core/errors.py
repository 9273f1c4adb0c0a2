"""The exception that users see: one line says what is wrong, one says what to do."""

from __future__ import annotations


class MedbenchError(Exception):
    """An error in a request or in input data; the command line prints it without a traceback.

    Attributes:
        code: stable dotted identifier, e.g. ``data.label_unknown``.
        message: what is wrong, naming the file or the case.
        hint: what to do about it; may be empty.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        line = f"{self.message} [{self.code}]"
        return f"{line} Hint: {self.hint}" if self.hint else line

    def __reduce__(self) -> tuple[type[MedbenchError], tuple[str, str, str]]:
        return (type(self), (self.code, self.message, self.hint))
