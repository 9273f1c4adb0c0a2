"""The challenge siim_pneumothorax."""
