"""Pretraining of the bundled spatial backbone on natural photographs."""
