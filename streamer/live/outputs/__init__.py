"""From anonymized frames to servers, folders and viewers: encoded once, sent to many."""
