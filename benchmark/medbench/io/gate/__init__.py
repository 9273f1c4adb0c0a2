"""The gate: the only place that opens, checks and decodes files of users and releases.

:func:`medbench.io.gate.admission.admit` opens a file and parses its header with memory-safe code;
:mod:`~medbench.io.gate.decode` decodes admitted files to values, complete, counted and checksummed;
:mod:`~medbench.io.gate.meaning` checks the values; :mod:`~medbench.io.gate.listing` lists the files of a
folder.
"""
