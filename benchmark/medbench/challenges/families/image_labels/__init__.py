"""Challenges of 2-D images with labels, several of which an image may have.

A challenge says where the files lie, which labels and group an image has and which splits there are;
checking, reading, learning, tables of predictions and scoring are here.
"""
