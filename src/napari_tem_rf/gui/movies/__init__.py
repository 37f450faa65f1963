"""The Movie dock."""
