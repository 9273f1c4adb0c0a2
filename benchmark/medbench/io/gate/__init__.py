"""The gate: the one place where foreign files are opened, checked and decoded.

:func:`admit` opens a file and parses its header with memory-safe code; :mod:`decode` turns what was admitted
into values, whole, counted and checksummed; :mod:`meaning` says what the values may be; :mod:`listing` says
what lies in a folder.
"""

from medbench.io.gate.admission import Admitted, admit, entrance
from medbench.io.gate.expected import Expected
from medbench.io.gate.listing import Entry, Listing, list_folder
from medbench.io.gate.refusal import Refusal, Reject

__all__ = [
    "Admitted",
    "Entry",
    "Expected",
    "Listing",
    "Refusal",
    "Reject",
    "admit",
    "entrance",
    "list_folder",
]
