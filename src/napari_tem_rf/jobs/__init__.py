"""What runs in a worker: train, predict, measure fields.

Every function is called as ``function(*arguments, report=..., stopped=...)``; torch is imported
inside, so that importing this package loads none. No other package above `learning` imports torch.

The public names are loaded when they are first used: what answers to a first stroke waits for no
more than itself.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
