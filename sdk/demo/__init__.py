"""The demonstration: a clip whose faults are known, its scores, and a picture of both."""
