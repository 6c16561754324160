"""Measurements of quality, size and time: run each as `python -m benchmarks.NAME`."""
