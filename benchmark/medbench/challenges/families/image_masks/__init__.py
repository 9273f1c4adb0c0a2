"""Challenges of 2-D images with one mask each.

A challenge adds where the files lie, which case belongs to which split, and the columns that it reports.
Reading, writing, scoring, training examples and checks are here, for 8-bit colour images with binary masks
unless a challenge overrides them.
"""
