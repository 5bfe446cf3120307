"""The programs, each a `main(argv)`: `sora-jax NAME`, `sample.py` and `train.py`."""
