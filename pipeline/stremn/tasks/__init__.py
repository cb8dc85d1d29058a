"""Rolling a model over a clip or a stream: segmentation and prediction."""
