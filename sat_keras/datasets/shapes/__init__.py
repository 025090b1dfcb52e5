"""Drawn scenes with captions and the box of every object that a caption names."""
