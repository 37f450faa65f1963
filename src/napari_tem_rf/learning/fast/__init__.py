"""The same numbers sooner: what `learning.network` computes, by other ways."""
