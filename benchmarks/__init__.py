"""Measurements: accuracy on real scenes, speed and memory."""
