"""What the results are made of: see `record`, which makes the records, and `report`, the pages."""
