"""Our structured reports read back: from files, a PACS or a DICOMweb server, into tables, JSON, CSV, FHIR."""
