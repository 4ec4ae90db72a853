"""What all tests share: one thread of arithmetic, for small tensors on busy cores wait longer than they compute."""

import torch

torch.set_num_threads(1)
