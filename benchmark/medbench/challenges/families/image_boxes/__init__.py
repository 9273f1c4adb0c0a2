"""Challenges of 2-D images with bounding boxes of any number of objects and classes.

A challenge says where the files lie, which boxes and group an image has, and which splits there are;
checking, reading, learning, files of detections and scoring are here.
"""
