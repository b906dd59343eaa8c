"""What a backbone pretrained on the scene itself is worth."""
