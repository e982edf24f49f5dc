"""The losses in plain NumPy, as their papers and the original define them; maps `[B, H, W]`."""

import math

import numpy as np


def dice(pred, target, mask):
    common = (pred * target * mask).sum()
    return 1.0 - 2.0 * common / ((pred * mask).sum() + (target * mask).sum() + 1e-6)


def masked_l1(pred, target, mask):
    return (abs(pred - target) * mask).sum() / (mask.sum() + 1e-6)


def cross_entropy(pred, target, mask):
    """Of every pixel; the mask is not applied."""
    return -(target * np.log(pred) + (1 - target) * np.log(1 - pred))


def balanced(pred, target, mask, main, negative_ratio=3):
    """All positives and the hardest negatives, `negative_ratio` of them for every positive."""
    positive, negative = (target * mask).ravel(), ((1 - target) * mask).ravel()
    num_positive = math.floor(positive.sum())
    num_negative = min(math.floor(negative.sum()), math.floor(num_positive * negative_ratio))
    loss = np.broadcast_to(main(pred, target, mask), target.shape).ravel()
    if num_negative == 0:
        return (positive * loss).sum() / (num_positive + 1e-6)
    hardest = sorted((negative * loss).tolist(), reverse=True)[:num_negative]
    return ((positive * loss).sum() + sum(hardest)) / (num_positive + num_negative + 1e-6)


def db(maps, batch):
    """`{"shrink", "threshold", "binary"}` with their weights 5, 10 and 1."""
    target, mask = batch["shrink_map"], batch["shrink_mask"]
    return {
        "shrink": 5.0 * balanced(maps["shrink"], target, mask, dice),
        "threshold": 10.0
        * masked_l1(maps["threshold"], batch["threshold_map"], batch["threshold_mask"]),
        "binary": dice(maps["binary"], target, mask),
    }


def mutual(one, other, act="none"):
    """The symmetric divergence of two maps, per image."""
    if act == "softmax":  # over the width
        one, other = (np.exp(m) / np.exp(m).sum(-1, keepdims=True) + 1e-10 for m in (one, other))
    elif act == "sigmoid":
        one, other = (1 / (1 + np.exp(-m)) + 1e-10 for m in (one, other))
    e = 1e-5
    there = other * np.log((other + e) / (one + e) + e)
    back = one * np.log((one + e) / (other + e) + e)
    return np.array([((t + b) / 2).mean() for t, b in zip(there, back, strict=True)])


def dilated(binary):
    """Text one pixel further to the right and down."""
    grown = binary.copy()
    _, height, width = binary.shape
    for y in range(height):
        for x in range(width):
            above, before = max(y - 1, 0), max(x - 1, 0)
            grown[:, y, x] = binary[:, above : y + 1, before : x + 1].max((1, 2))
    return grown


def taught(maps, teacher, mask):
    """A student's maps against the text that its teacher sees."""
    target = dilated((teacher > 0.3).astype(np.float64))
    return 5.0 * balanced(maps["shrink"], target, mask, dice) + dice(maps["binary"], target, mask)


def slopes(function, array, step=1e-6):
    """The gradient of a function's sum by central differences, one number after the other."""
    grad = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        high, low = array.copy(), array.copy()
        high[index] += step
        low[index] -= step
        grad[index] = (np.sum(function(high)) - np.sum(function(low))) / (2 * step)
    return grad
