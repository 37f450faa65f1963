"""One file a dock widget."""
