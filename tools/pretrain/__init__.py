"""Pretraining of the bundled spatial backbone on generated landscapes or photographs."""
