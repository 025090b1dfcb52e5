"""8,000 photos with five captions each, in the official layout and splits."""
