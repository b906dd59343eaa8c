"""Products as missions deliver them, in files that no GIS shows as a scene."""
