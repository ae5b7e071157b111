"""From a tracked face to the picture that replaces it, and the only maker of anonymized frames."""
