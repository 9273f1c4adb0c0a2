"""Metrics of tasks other than label maps: classes, boxes, summaries, measurements."""
