"""The challenge covidx."""
