"""The plug-in is loaded as one, never collected."""

collect_ignore = ["plugin.py"]
