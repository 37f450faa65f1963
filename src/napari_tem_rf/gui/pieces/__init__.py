"""Small things that widgets are made of."""
