"""What fits a head to a finished ``glint-edge``: its frames, its features, its weights."""
