"""A decision in words: simulated, presented and explained."""
