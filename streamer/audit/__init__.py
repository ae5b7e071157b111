"""The attacks of `calibration.audit`, carried out on pictures: rendered by the product, read by recognisers."""
