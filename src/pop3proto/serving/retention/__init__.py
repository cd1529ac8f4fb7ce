"""How long mail is kept, what becomes of what is deleted, and the job that removes it."""
