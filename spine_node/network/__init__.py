"""DICOM associations: SCP and SCU. Home of pynetdicom."""
