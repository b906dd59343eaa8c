"""What each part of SpectraFiLM is worth: the default method with one thing changed at a time."""
