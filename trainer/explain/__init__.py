"""What the network sees: where it looks, its kernels, its activation maps, and a convolution by hand."""
