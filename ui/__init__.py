"""Widgets of the desktop."""
