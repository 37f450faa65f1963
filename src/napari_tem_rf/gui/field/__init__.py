"""The Receptive field dock, and the field drawn at the cursor."""
