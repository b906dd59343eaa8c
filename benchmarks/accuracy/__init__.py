"""Accuracy with few labels, and of rounds of suggested labels."""
