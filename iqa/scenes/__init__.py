"""What frames show: a second stage on a finished ``glint-edge``, from photographs with scenes."""
