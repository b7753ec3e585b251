"""Figures: arrays and texts in, a matplotlib figure out; each picture is drawn in one place."""
