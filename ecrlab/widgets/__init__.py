"""What a learner looks at: pictures and interactive panels. The first of them come with a later issue."""
