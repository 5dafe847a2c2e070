"""The sweep over landmarks gives, at the audit's own count, the audit's own ratio."""

from __future__ import annotations

import numpy as np
import pytest

from lib.analysis import audit, landmark_ratios, summarise
from lib.analysis.fingerprints import DENSE_NULLS, Representation


def test_it_is_the_audit_s_landmark_route_at_every_count():
    cloud = Representation("blob", np.random.default_rng(1).normal(size=(90, 3)), "euclidean", DENSE_NULLS)
    found = landmark_ratios(cloud, [15, 25], size=50, runs=3, seed=4)
    for count, ratio in found.items():
        expected = audit(cloud, size=50, runs=3, seed=4, landmarks=count).landmark
        assert ratio == pytest.approx(summarise(expected).ratio, rel=1e-12)
