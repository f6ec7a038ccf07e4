"""Images as numbers on a grid in the patient: no files, no anatomy."""
