"""What is run by developers: pretraining, the sample scene, models, packaging, the demo."""
