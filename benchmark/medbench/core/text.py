"""Names and words from elsewhere, made harmless for a terminal, a page in Markdown and a table in CSV."""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Sequence

LONGEST = 200
MOST_NAMED = 5
"""Names that a message lists of many."""
CONTENT_POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'\">"
)
"""Line of an HTML head that lets a page run no script and reach no other address."""
_POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; script-src {script}; '
    "style-src {style}; img-src data:; base-uri 'none'; form-action 'none'\">"
)
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_MARKDOWN = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "\\|", "`": "\\`", "](": "]\\("}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SIGN = re.compile(r"[-+\u2212](?=$|[\s),;/])|[<>\u2264\u2265]")
"""A sign that tells names apart: after a word, as in HER2+, or of an order."""
_SIGN_WORDS = {
    "-": "minus",
    "\u2212": "minus",
    "+": "plus",
    "<": "less",
    ">": "more",
    "\u2264": "most",
    "\u2265": "least",
}


def content_policy(style: str, script: str) -> str:
    """Line of an HTML head that lets a page use these two texts alone and reach no other address.

    Args:
        style: all that stands in the page's one ``style``.
        script: all that stands in its one ``script``.
    """

    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return _POLICY.format(script=source(script), style=source(style))


def printable(words: str, longest: int | None = LONGEST) -> str:
    r"""The words with every character that is not seen written out, and cut where they are too long.

    Control characters, escape sequences of terminals, line breaks and marks that turn the direction of
    writing become ``\x1b``, ``\n``, ``\u202e``.

    Args:
        words: a name, a title, a reason.
        longest: number of characters that are kept; ``None`` keeps all.

    >>> printable("liver\x1b[31m\n")
    'liver\\x1b[31m\\n'
    """
    text = (
        words
        if words.isprintable()
        else "".join(
            letter.encode("unicode_escape").decode() if unicodedata.category(letter) in _HIDDEN else letter
            for letter in words
        )
    )
    return text if longest is None or len(text) <= longest else f"{text[: longest - 1]}…"


def plain_name(name: str) -> str:
    """Letters and digits of a name in lower case, and the signs that tell names apart.

    Names that Unicode composes in different ways are the same.

    >>> plain_name("Non-enhancing core"), plain_name("HER2+") == plain_name("HER2-")
    ('nonenhancingcore', False)
    """
    words = _SIGN.sub(lambda sign: _SIGN_WORDS[sign[0]], composed(name))
    return "".join(letter for letter in words.casefold() if letter.isalnum())


def composed(name: str) -> str:
    """The name with letters and their accents in one, as all but macOS write names of files.

    >>> composed("Mu\u0308ller") == "M\u00fcller"
    True
    """
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun, in the plural where there is not exactly one.

    >>> counted(1, "case"), counted(0, "case"), counted(1200, "case"), counted(2, "pass", "passes")
    ('1 case', '0 cases', '1,200 cases', '2 passes')
    """
    return f"{number:,} {agreeing(number, noun, plural or f'{noun}s')}"


def counted_are(number: int, noun: str) -> str:
    """A number with its noun and the verb.

    >>> counted_are(1, "case"), counted_are(2, "case")
    ('1 case is', '2 cases are')
    """
    return f"{counted(number, noun)} {agreeing(number, 'is', 'are')}"


def any_of(number: int, noun: str) -> str:
    """So many things of which none will do.

    >>> any_of(1, "case"), any_of(2, "case")
    ('the one case', 'any of the 2 cases')
    """
    return f"the one {noun}" if number == 1 else f"any of the {counted(number, noun)}"


def agreeing(number: int, singular: str, plural: str) -> str:
    """The one of two words that agrees with a number.

    >>> agreeing(1, "lies", "lie"), agreeing(2, "lies", "lie")
    ('lies', 'lie')
    """
    return singular if number == 1 else plural


def named(names: Sequence[object], most: int = MOST_NAMED) -> str:
    """The first of many names, with ``…`` where there are more.

    >>> named(["a", "b", "c"]), named(["a", "b", "c"], 2)
    ('a, b, c', 'a, b, …')
    """
    return ", ".join(str(name) for name in names[:most]) + (", …" if len(names) > most else "")


def first_line(message: object, otherwise: str = "no message") -> str:
    r"""What an error or a process says first.

    >>> first_line(ValueError("bad header\nof the file")), first_line(ValueError())
    ('bad header', 'no message')
    """
    return (str(message).strip().splitlines() or [otherwise])[0]


def markdown_text(words: str) -> str:
    """Words for a cell of Markdown: one line, without HTML, links, code or another column."""
    text = printable(words, None)
    for letter, escape in _MARKDOWN.items():
        text = text.replace(letter, escape)
    return text


def csv_text(words: str) -> str:
    """Words for a cell of CSV that a spreadsheet takes for text and never for a formula."""
    text = printable(words, None)
    return f"'{text}" if text.startswith(_FORMULA) else text
