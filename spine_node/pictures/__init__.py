"""Pictures of a result: what was measured, drawn where it was measured. No DICOM objects, no network."""
