"""What became of each study, for people: lists, histories, and what they may do about it."""
