"""Labels by people: first drafts, what a correction changed, and training cases made of them."""
