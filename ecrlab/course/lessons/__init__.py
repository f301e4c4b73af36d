"""One module a lesson: its tasks, their solutions and likely mistakes, and its quizzes."""
