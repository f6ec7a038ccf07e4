"""DICOM objects in and out: series, SEG, SR. Home of pydicom and highdicom."""
