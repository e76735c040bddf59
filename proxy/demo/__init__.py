"""`dicomgate demo`: two PACS, a gateway in front of them, and a tour."""
