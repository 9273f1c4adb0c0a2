"""CM-CGNS, arXiv 2506.11674: joint learning from chest X-rays and reports, and the networks that judge it.

The authors' code (violet-42/CM-CGNS@4e75806, no licence stated) was read for facts; its published files do
not import. ``form="published"`` keeps what that program computes, quirk by quirk; the default corrects six:

* L1 local features are a view of the map's memory, so that a token mixes channels and places: here a token is
  a place;
* L2 the other columns of the hard negatives are zeros that stay in the soft-max: here they are not there, and
  sentences of one cluster leave each other's denominator;
* L3 pairs that are no false negatives add a constant to the margin loss: here its mean is over those that
  are;
* L4 the mask of the ResNet's reconstruction drops channels: here it drops places;
* L5 negative pixels cannot be reconstructed, as a ReLU stands before the last enlargement: here none does;
* L6 the transformer of the ViT's reconstruction attends among the images of a batch: here among the places of
  an image.
"""
