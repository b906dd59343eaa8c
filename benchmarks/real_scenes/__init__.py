"""The main job on real scenes, against classical classifiers under the same labels."""
