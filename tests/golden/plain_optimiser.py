"""Adam with coupled decay, and the rate of every update, in plain Python and NumPy."""

import math

import numpy as np


def rate(step, base, total, warmup):
    """Of the update after `step` others: linear from 0, then a half cosine over the whole run."""
    if step < warmup:
        return base * step / warmup
    return 0.5 * base * (1 + math.cos(math.pi * (step - warmup) / total))


class Adam:
    """Moments by name; `decay` times a parameter joins its gradient."""

    def __init__(self, decay, beta1=0.9, beta2=0.999, eps=1e-8):
        self.decay, self.beta1, self.beta2, self.eps = decay, beta1, beta2, eps
        self.count, self.first, self.second = 0, {}, {}

    def update(self, params, grads, rate):
        """The parameters after one update at a rate."""
        self.count += 1
        new = {}
        for name, value in params.items():
            grad = grads[name] + self.decay * value
            first = self.beta1 * self.first.get(name, 0.0) + (1 - self.beta1) * grad
            second = self.beta2 * self.second.get(name, 0.0) + (1 - self.beta2) * grad**2
            self.first[name], self.second[name] = first, second
            mean = first / (1 - self.beta1**self.count)
            size = np.sqrt(second / (1 - self.beta2**self.count))
            new[name] = value - rate * mean / (size + self.eps)
        return new
