"""Challenges of 2-D images with one class each.

A challenge says where the files lie, which class and group an image has, which splits there are and which
columns are reported; checking, reading, learning, tables of predictions and scoring are here.
"""
