"""Typed graphs of mixed precision; `export.mixed_precision` is the way in."""
