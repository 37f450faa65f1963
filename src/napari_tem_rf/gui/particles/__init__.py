"""The Particles dock."""
