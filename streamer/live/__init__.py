"""The live gateway: cameras in, anonymized streams out, for as long as the process lives."""
