"""Import of an Orthanc configuration."""
