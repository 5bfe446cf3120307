"""Model families: one folder each, and what every family says of itself."""
