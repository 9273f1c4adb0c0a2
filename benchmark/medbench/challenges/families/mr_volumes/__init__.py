"""Challenges of label maps on MR volumes.

A challenge says where the files lie, which case belongs to which split, and how it scores; reading,
writing, checking and learning are here, for cases with some of the card's modalities as volumes on one grid
and a label map on the same. Two-dimensional networks see slices with three modalities as their channels.
"""
