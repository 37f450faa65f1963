"""Everything that needs torch: networks with weights, training, prediction, gradients."""

import os

# Threads that spin while they wait take the cores from the window and from other workers: on two
# busy cores a training step took four to eight times as long. Must be set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# The profiler that measures memory writes two lines on stderr whenever it is used.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
# What Apple's GPU cannot do is done by the CPU, instead of ending the training.
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
