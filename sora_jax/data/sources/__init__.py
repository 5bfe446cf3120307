"""Clips to train on and to measure with, whatever they come from."""
