"""The gate: the one place where foreign files are opened, checked and decoded.

:func:`medbench.io.gate.admission.admit` opens a file and parses its header with memory-safe code;
:mod:`~medbench.io.gate.decode` turns what was admitted into values, whole, counted and checksummed;
:mod:`~medbench.io.gate.meaning` says what the values may be; :mod:`~medbench.io.gate.listing` says what lies
in a folder.
"""
