"""A small network by laplace-torch: the oracle of tests/infer/fitting/test_laplace_torch.py.

    .cache/peers/torch/bin/python benchmarks/studies/laplace_torch.py

prints, in double precision, the log evidence of each structure of the curvature and the variances
of the logit at two rows. The network has fixed weights, and a standard normal prior of them.
`make peers` makes the environment.
"""

import json

import numpy as np

RNG = np.random.default_rng(3)
X = RNG.normal(size=(12, 2))
LABELS = (X[:, 0] > X[:, 1] ** 2 - 0.5).astype(int)
NEW = np.array([[0.5, 1.0], [3.0, -2.0]])
#: Of a network 2-3-1 with tanh units, in the order of columns of inputs and of units.
WEIGHTS = {
    "a.weight": np.array([[0.8, -0.5, 0.3], [-0.6, 0.9, 0.4]]),
    "a.bias": np.array([0.1, -0.2, 0.3]),
    "b.weight": np.array([[1.1], [-0.7], [0.5]]),
    "b.bias": np.array([0.2]),
}


def main():
    import torch
    from laplace import Laplace

    torch.set_default_dtype(torch.float64)
    first, last = torch.nn.Linear(2, 3), torch.nn.Linear(3, 1)
    for layer, name in ((first, "a"), (last, "b")):
        layer.weight.data = torch.tensor(WEIGHTS[f"{name}.weight"].T.copy())
        layer.bias.data = torch.tensor(WEIGHTS[f"{name}.bias"])

    class TwoClasses(torch.nn.Module):
        """The logits of both classes, of which the first is zero."""

        def __init__(self):
            super().__init__()
            self.layers = torch.nn.Sequential(first, torch.nn.Tanh(), last)

        def forward(self, x):
            logit = self.layers(x)
            return torch.cat([torch.zeros_like(logit), logit], -1)

    rows = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(LABELS))
    loader = torch.utils.data.DataLoader(rows, batch_size=len(X))
    for structure in ("full", "diag", "kron"):
        how = {"subset_of_weights": "all", "hessian_structure": structure}
        found = Laplace(TwoClasses(), "classification", prior_precision=1.0, **how)
        found.fit(loader)
        _, variances = found._glm_predictive_distribution(torch.tensor(NEW))
        evidence = found.log_marginal_likelihood().item()
        print(json.dumps({structure: [evidence, *variances[:, 1, 1].tolist()]}))


if __name__ == "__main__":
    main()
