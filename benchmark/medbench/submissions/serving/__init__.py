"""What runs inside a container: finding inputs, predicting as ``medbench run`` does, publishing outputs."""
