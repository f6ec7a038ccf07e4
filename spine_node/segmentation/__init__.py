"""From a volume to a label map: the bundle, the net, the naming of levels. Home of torch and MONAI."""
