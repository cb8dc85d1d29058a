"""What training reads: clips, images and videos in the official layouts, samplers, augmentation, batches.

Nothing here knows a model. Arrays are NumPy on disk and in folders, torch in batches.
"""
