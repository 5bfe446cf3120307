"""Sources of clips for training and evaluation."""
