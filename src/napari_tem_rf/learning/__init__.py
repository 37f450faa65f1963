"""Everything that needs torch: networks with weights, training, prediction, gradients."""
