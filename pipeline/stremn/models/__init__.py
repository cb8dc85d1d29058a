"""The networks: encoders on timm backbones, decoders, and the systems built from them."""
