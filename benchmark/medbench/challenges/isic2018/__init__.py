"""The challenge isic2018."""
