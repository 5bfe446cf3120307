"""Where clips come from and go to: numpy in, numpy out."""
