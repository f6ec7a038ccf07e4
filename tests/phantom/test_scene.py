"""Drawing stays on the device it is asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from spine_node.phantom.arms import arm_bones
from spine_node.phantom.lattice import Lattice
from spine_node.phantom.physics import Grain, Scanner, axial_pattern, expose, shading
from spine_node.phantom.pose import standing_spec
from spine_node.phantom.scene import Scene, bone_mass
from spine_node.phantom.skeleton import build

META = torch.device("meta")
SCANNER = Scanner(
    blur_mm=1.0, noise=20.0, grain_mm=1.0, cupping=10.0, veil=10.0, hardening=50.0, rings=10.0, rays=5.0
)


def test_no_field_is_made_beside_its_device():
    """Analytic bones and the scanner's physics; not painting, soft tissue, metal or real shapes.

    torch refuses to add tensors of two devices; the meta device is one that every machine has.
    """
    person = build(standing_spec())
    affine = np.array([[0, 0, 4.0, -160], [0, 4, 0, -200], [4, 0, 0, -80], [0, 0, 0, 1]])
    at = Lattice((200, 80, 80), affine, device=META)
    with torch.inference_mode():
        drawing = Scene(person, arm_bones(person, "bar")).draw(at)
        bone = bone_mass(person, at)
        shade, relative = shading(SCANNER, bone, bone, at)
        scanner = replace(
            SCANNER, rim=10.0, field_radius_mm=100.0, ghost=(0.2, 1.0, 1.0), seam=(0.5, 1.0, 0.1)
        )
        pattern, rim = axial_pattern(1, scanner, (80, 80), (4.0, 4.0), META)
        image = expose(
            drawing.depth_mm[:9],
            scanner,
            noise=Grain(1, (80, 80), np.ones(3), META).slices(0, 9),
            shade=shade[:9],
            relative_noise=relative[:9],
            pattern=pattern,
            rim=rim,
            heights=np.linspace(0, 1, 9),
            spacing_mm=(4.0, 4.0),
        )
    for field in (drawing.labels, drawing.semantic, drawing.kind, drawing.depth_mm, shade, image):
        assert field.device == META
