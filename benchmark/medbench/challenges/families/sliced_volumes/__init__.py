"""Challenges of volumes that networks see slice by slice, as TransUNet's program does.

A challenge says where its files lie, how images and labels are read, and which structures there are; slices
to learn from, predicted volumes and both protocols of scoring are here:

* ``of TransUNet``: Dice and HD95 in voxels; a structure that is predicted where there is none scores Dice 1,
  one that is missed HD95 0. This is what papers report.
* ``unbiased, in mm``: Dice, and HD95 with the volume's spacing; a structure that only one mask has scores the
  volume's diagonal, one that neither has is left out. Without a spacing HD95 is undefined.
"""
