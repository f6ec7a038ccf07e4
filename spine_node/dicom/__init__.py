"""DICOM in and out: series to volumes, results to SEG, SR and meshes. No network."""

from pydicom import config

# Headers of real devices hold invalid values, and a warning would print them, patient names included.
config.settings.reading_validation_mode = config.IGNORE
