"""Lines, planes, spheres and angles in LPS millimetres: no voxels, no vertebrae."""
