"""Tasks: from clips, pictures and masks to the parts that a video is made of."""
