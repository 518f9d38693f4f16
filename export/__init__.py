"""From a trained network to a bundle; torch is imported only in `export.to_onnx`."""
