"""The challenge myops2020."""
