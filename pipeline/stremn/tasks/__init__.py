"""Rolling a model over a clip, with gradients or without: segmentation and prediction."""
