"""TFDS builders of captioned clips, which store encoded video; without TensorFlow."""
