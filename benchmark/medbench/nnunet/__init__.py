"""nnU-Net v2 as a framework: its data sets, trained models, training and prediction."""
