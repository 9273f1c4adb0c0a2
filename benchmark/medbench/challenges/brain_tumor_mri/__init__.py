"""The challenge brain_tumor_mri."""
