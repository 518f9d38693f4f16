"""What framescore costs: measurements, their results, and the tables made of them."""
