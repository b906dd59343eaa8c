"""What a backbone is worth: every decoder layer and timestep against the untrained twin, with few labels."""
