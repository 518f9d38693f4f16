"""INT8 by explicit quantisation, held to a drift of the score."""
