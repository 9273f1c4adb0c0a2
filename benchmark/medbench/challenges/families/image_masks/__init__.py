"""Challenges of 2-D images with one mask each.

A challenge says where the files lie, which case belongs to which split, and which columns it reports;
reading, writing, scoring, learning and checking are here, for 8-bit colour images with binary masks unless a
challenge reads them otherwise.
"""
