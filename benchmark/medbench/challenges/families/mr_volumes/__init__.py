"""Challenges of label maps on MR volumes.

A challenge adds where the files lie, which case belongs to which split, and the scoring. Reading, writing,
checks and training examples are here, for cases with some of the card's modalities as volumes on one grid and
a label map on the same grid. Two-dimensional networks see slices with three modalities as channels.
"""
