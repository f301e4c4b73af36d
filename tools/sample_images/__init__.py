"""What the sample images are made of, and how an image becomes bytes that are the same on every machine."""
