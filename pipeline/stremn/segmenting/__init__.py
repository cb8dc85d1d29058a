"""A user's own video: given masks, the part to segment, what is written, stop and resume."""
