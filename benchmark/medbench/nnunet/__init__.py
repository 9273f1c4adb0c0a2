"""nnU-Net v2 behind the package's interfaces: files, labels, training, prediction."""
