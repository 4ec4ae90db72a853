"""What all tests share: one thread of arithmetic, so that two test processes do not fight for two cores."""

import torch

torch.set_num_threads(1)
